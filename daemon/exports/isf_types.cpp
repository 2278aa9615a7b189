// SPDX-License-Identifier: GPL-2.0-or-later
#include "isf_types.h"

#include <algorithm>
#include <array>

namespace lacuna {

namespace {

constexpr auto members = std::to_array<TypedName>({
    {"cred.egid", "unsigned int"},
    {"cred.euid", "unsigned int"},
    {"cred.fsgid", "unsigned int"},
    {"cred.fsuid", "unsigned int"},
    {"cred.gid", "unsigned int"},
    {"cred.sgid", "unsigned int"},
    {"cred.suid", "unsigned int"},
    {"cred.uid", "unsigned int"},
    {"dentry.d_inode", "struct inode *"},
    {"dentry.d_name", "struct qstr"},
    {"dentry.d_op", "struct dentry_operations *"},
    {"dentry.d_parent", "struct dentry *"},
    {"dentry.d_sb", "struct super_block *"},
    {"dentry_operations.d_dname", "void *"},
    {"fdtable.fd", "struct file * *"},
    {"fdtable.max_fds", "unsigned int"},
    {"file.f_inode", "struct inode *"},
    {"file.f_op", "void *"},
    {"file.f_path", "struct path"},
    {"file.private_data", "void *"},
    {"file_system_type.name", "char *"},
    {"files_struct.fdt", "struct fdtable *"},
    {"fs_struct.pwd", "struct path"},
    {"fs_struct.root", "struct path"},
    {"inet_sock.inet_saddr", "unsigned int"},
    {"inet_sock.inet_sport", "unsigned short"},
    {"inode.i_ino", "unsigned long"},
    {"inode.i_mode", "unsigned short"},
    {"inode.i_sb", "struct super_block *"},
    {"inode.i_size", "long"},
    {"maple_arange_64.slot", "void *[]"},
    {"maple_node.ma64", "struct maple_arange_64"},
    {"maple_node.mr64", "struct maple_range_64"},
    {"maple_range_64.slot", "void *[]"},
    {"maple_tree.ma_flags", "unsigned int"},
    {"maple_tree.ma_root", "void *"},
    {"mm_context.vdso", "void *"},
    {"mm_struct.arg_end", "unsigned long"},
    {"mm_struct.arg_start", "unsigned long"},
    {"mm_struct.brk", "unsigned long"},
    {"mm_struct.context", "struct mm_context"},
    {"mm_struct.end_code", "unsigned long"},
    {"mm_struct.end_data", "unsigned long"},
    {"mm_struct.env_end", "unsigned long"},
    {"mm_struct.env_start", "unsigned long"},
    {"mm_struct.exe_file", "struct file *"},
    {"mm_struct.mm_mt", "struct maple_tree"},
    {"mm_struct.mmap", "struct vm_area_struct *"},
    {"mm_struct.pgd", "void *"},
    {"mm_struct.start_brk", "unsigned long"},
    {"mm_struct.start_code", "unsigned long"},
    {"mm_struct.start_data", "unsigned long"},
    {"mm_struct.start_stack", "unsigned long"},
    {"module.core_size", "unsigned int"},
    {"module.core_text_size", "unsigned int"},
    {"module.init_size", "unsigned int"},
    {"module.list", "struct list_head"},
    {"module.mkobj", "struct module_kobject"},
    {"module.module_core", "void *"},
    {"module.module_init", "void *"},
    {"module.name", "char[]"},
    {"module.state", "int"},
    {"module_kobject.mod", "struct module *"},
    {"module_memory.base", "void *"},
    {"module_memory.size", "unsigned int"},
    {"mount.mnt", "struct vfsmount"},
    {"mount.mnt_child", "struct list_head"},
    {"mount.mnt_mountpoint", "struct dentry *"},
    {"mount.mnt_mounts", "struct list_head"},
    {"mount.mnt_parent", "struct mount *"},
    {"net.dev_base_head", "struct list_head"},
    {"net.list", "struct list_head"},
    {"net.loopback_dev", "struct net_device *"},
    {"net_device.dev_list", "struct list_head"},
    {"net_device.name", "char[]"},
    {"nsproxy.net_ns", "struct net *"},
    {"path.dentry", "struct dentry *"},
    {"path.mnt", "struct vfsmount *"},
    {"proto.name", "char[]"},
    {"qstr.len", "unsigned int"},
    {"qstr.name", "char *"},
    {"signal_struct.thread_head", "struct list_head"},
    {"sock.__sk_common", "struct sock_common"},
    {"sock.sk_protocol", "unsigned short"},
    {"sock.sk_socket", "struct socket *"},
    {"sock.sk_type", "unsigned short"},
    {"sock_common.skc_daddr", "unsigned int"},
    {"sock_common.skc_dport", "unsigned short"},
    {"sock_common.skc_family", "unsigned short"},
    {"sock_common.skc_num", "unsigned short"},
    {"sock_common.skc_prot", "void *"},
    {"sock_common.skc_rcv_saddr", "unsigned int"},
    {"sock_common.skc_state", "unsigned char"},
    {"sock_common.skc_v6_daddr", "struct in6_addr"},
    {"sock_common.skc_v6_rcv_saddr", "struct in6_addr"},
    {"socket.file", "struct file *"},
    {"socket.sk", "struct sock *"},
    {"socket.state", "int"},
    {"socket.type", "short"},
    {"socket_alloc.vfs_inode", "struct inode"},
    {"super_block.s_dev", "unsigned int"},
    {"super_block.s_type", "struct file_system_type *"},
    {"task_struct.active_mm", "struct mm_struct *"},
    {"task_struct.comm", "char[]"},
    {"task_struct.cred", "struct cred *"},
    {"task_struct.exit_state", "int"},
    {"task_struct.files", "struct files_struct *"},
    {"task_struct.flags", "unsigned int"},
    {"task_struct.fs", "struct fs_struct *"},
    {"task_struct.group_leader", "struct task_struct *"},
    {"task_struct.mm", "struct mm_struct *"},
    {"task_struct.nsproxy", "struct nsproxy *"},
    {"task_struct.parent", "struct task_struct *"},
    {"task_struct.pid", "int"},
    {"task_struct.real_cred", "struct cred *"},
    {"task_struct.real_parent", "struct task_struct *"},
    {"task_struct.signal", "struct signal_struct *"},
    {"task_struct.stack", "void *"},
    {"task_struct.start_boottime", "unsigned long long"},
    {"task_struct.start_time", "unsigned long long"},
    {"task_struct.tasks", "struct list_head"},
    {"task_struct.tgid", "int"},
    {"task_struct.thread_group", "struct list_head"},
    {"task_struct.thread_node", "struct list_head"},
    {"unix_address.len", "int"},
    {"unix_address.name", "struct sockaddr_un"},
    {"unix_sock.addr", "struct unix_address *"},
    {"unix_sock.peer", "struct sock *"},
    {"vfsmount.mnt_root", "struct dentry *"},
    {"vfsmount.mnt_sb", "struct super_block *"},
    {"vm_area_struct.vm_end", "unsigned long"},
    {"vm_area_struct.vm_file", "struct file *"},
    {"vm_area_struct.vm_flags", "unsigned long"},
    {"vm_area_struct.vm_mm", "struct mm_struct *"},
    {"vm_area_struct.vm_next", "struct vm_area_struct *"},
    {"vm_area_struct.vm_pgoff", "unsigned long"},
    {"vm_area_struct.vm_start", "unsigned long"},
});
static_assert(std::is_sorted(members.begin(), members.end(),
                             [](const TypedName& a, const TypedName& b) { return a.name < b.name; }));

constexpr auto symbols = std::to_array<TypedName>({
    {"_end", "void"},
    {"_etext", "void"},
    {"_stext", "void"},
    {"_text", "void"},
    {"anon_inodefs_dname", "void"},
    {"init_cred", "struct cred"},
    {"init_files", "struct files_struct"},
    {"init_fs", "struct fs_struct"},
    {"init_level4_pgt", "void"},
    {"init_mm", "struct mm_struct"},
    {"init_net", "void"},
    {"init_nsproxy", "void"},
    {"init_pid_ns", "void"},
    {"init_signals", "void"},
    {"init_task", "struct task_struct"},
    {"init_top_pgt", "void"},
    {"linux_banner", "void"},
    {"modules", "struct list_head"},
    {"net_namespace_list", "struct list_head"},
    {"ns_dname", "void"},
    {"pipefs_dname", "void"},
    {"simple_dname", "void"},
    {"socket_file_ops", "void"},
    {"sockfs_dentry_operations", "void"},
    {"sockfs_dname", "void"},
    {"startup_64", "void"},
    {"swapper_pg_dir", "void"},
});

constexpr auto structures = std::to_array<std::string_view>({
    "address_space", "cred", "dentry", "file", "files_struct", "fs_struct", "hlist_head", "idr", "in_device",
    "in_ifaddr", "inet6_dev", "inet6_ifaddr", "inet_sock", "inode", "kobject", "list_head", "mm_struct",
    "module_sect_attr", "net", "net_device", "page", "qstr", "sock", "socket", "super_block", "task_struct",
    "unix_sock", "vfsmount", "vm_area_struct",
});

} // namespace

std::span<const TypedName> member_types()
{
    return members;
}

std::span<const TypedName> exported_symbols()
{
    return symbols;
}

std::span<const std::string_view> expected_structures()
{
    return structures;
}

std::string_view c_type_of_member(std::string_view qualified)
{
    const auto found = std::lower_bound(members.begin(), members.end(), qualified,
                                        [](const TypedName& member, std::string_view name) { return member.name < name; });
    return found != members.end() && found->name == qualified ? found->c_type : std::string_view();
}

} // namespace lacuna
