// SPDX-License-Identifier: GPL-2.0-only
#include "netlink.h"

#include <linux/file.h>
#include <linux/kvm_host.h>
#include <linux/log2.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <net/genetlink.h>

#include "displaced.h"
#include "engine/engine.h"
#include "guest.h"
#include "hunt.h"
#include "kvm.h"
#include "memory.h"
#include "orders.h"
#include "recording.h"
#include "registry.h"

#define MAX_DEADLINE_MS (60 * 60 * 1000)
/* bytes of a task's stack with its thread_info: 4 KiB (CONFIG_4KSTACKS) up to 16 KiB, and twice that under KASAN */
#define MIN_STACK SZ_4K
#define MAX_STACK SZ_64K

static const struct nla_policy site_policy[LACUNA_SITE_ATTRIBUTES] = {
	[LACUNA_S_KIND] = NLA_POLICY_MAX(NLA_U8, LACUNA_SITE_KINDS - 1),
	[LACUNA_S_ADDRESS] = { .type = NLA_U64 },
	[LACUNA_S_BYTES] = { .type = NLA_BINARY, .len = LACUNA_SITE_BYTES },
	[LACUNA_S_LENGTHS] = { .type = NLA_BINARY, .len = LAC_MAX_DISPLACED },
};

static const struct nla_policy kernel_policy[LACUNA_KERNEL_ATTRIBUTES] = {
	[LACUNA_K_ID] = { .type = NLA_NUL_STRING, .len = LACUNA_MAX_ID - 1 },
	[LACUNA_K_ARCHITECTURE] = NLA_POLICY_MAX(NLA_U8, LACUNA_ARCHITECTURES - 1),
	[LACUNA_K_TEXT] = { .type = NLA_U64 },
	[LACUNA_K_END] = { .type = NLA_U64 },
	[LACUNA_K_BANNER] = { .type = NLA_U64 },
	[LACUNA_K_BANNER_TEXT] = { .type = NLA_BINARY, .len = LACUNA_MAX_BANNER },
	[LACUNA_K_INIT_TASK] = { .type = NLA_U64 },
	[LACUNA_K_MODULES] = { .type = NLA_U64 },
	[LACUNA_K_CURRENT] = { .type = NLA_U64 },
	[LACUNA_K_CURRENT_KIND] = NLA_POLICY_MAX(NLA_U8, LACUNA_CURRENTS - 1),
	[LACUNA_K_CURRENT_SLIDES] = { .type = NLA_FLAG },
	[LACUNA_K_SITE] = NLA_POLICY_NESTED(site_policy),
	[LACUNA_K_KNOWN] = { .type = NLA_FLAG },
};

static const struct nla_policy policy[LACUNA_ATTRIBUTES] = {
	[LACUNA_A_VERSION] = NLA_POLICY_RANGE(NLA_U32, LACUNA_ABI_VERSION, LACUNA_ABI_VERSION),
	[LACUNA_A_GUEST] = { .type = NLA_U32 },
	[LACUNA_A_CONSTRAINTS] = NLA_POLICY_EXACT_LEN(sizeof(struct lacuna_constraints)),
	[LACUNA_A_KERNEL] = NLA_POLICY_NESTED(kernel_policy),
	[LACUNA_A_DEADLINE_MS] = NLA_POLICY_MIN(NLA_U32, 1),
	[LACUNA_A_RECORD] = { .type = NLA_FLAG },
	[LACUNA_A_ADDRESS] = { .type = NLA_U64 },
	[LACUNA_A_LENGTH] = { .type = NLA_U32 },
	[LACUNA_A_VMM_PID] = { .type = NLA_U32 },
	[LACUNA_A_FD] = { .type = NLA_U32 },
};

static const struct genl_multicast_group groups[] = {
	{ .name = LACUNA_GENL_EVENTS, .flags = GENL_MCAST_CAP_NET_ADMIN },
};

static struct genl_family family;

/* Every message names the version it is written in, so that an old daemon is told so and not misunderstood. */
static int check_version(struct genl_info *info)
{
	if (!GENL_REQ_ATTR_CHECK(info, LACUNA_A_VERSION))
		return 0;
	GENL_SET_ERR_MSG(info, "the version is missing");
	return -EINVAL;
}

/*
 * Beyond the right to give orders: a guest's memory is that of a process, and to read or write one's the kernel asks for the same
 * (ptrace(2), process_vm_readv(2)). CAP_NET_ADMIN alone is given to much that has to do with networks only.
 */
static int check_memory_right(struct sk_buff *skb, struct genl_info *info)
{
	if (netlink_capable(skb, CAP_SYS_PTRACE))
		return 0;
	GENL_SET_ERR_MSG(info, "this needs CAP_SYS_PTRACE");
	return -EPERM;
}

static struct lac_guest *find_guest(struct genl_info *info)
{
	struct lac_guest *guest;

	if (GENL_REQ_ATTR_CHECK(info, LACUNA_A_GUEST))
		return NULL;
	guest = lac_registry_find_id(nla_get_u32(info->attrs[LACUNA_A_GUEST]));
	if (!guest)
		GENL_SET_ERR_MSG(info, "there is no such guest");
	return guest;
}

static int set_constraints(struct sk_buff *skb, struct genl_info *info)
{
	const struct lacuna_constraints *set;

	if (check_version(info) || GENL_REQ_ATTR_CHECK(info, LACUNA_A_CONSTRAINTS))
		return -EINVAL;
	set = nla_data(info->attrs[LACUNA_A_CONSTRAINTS]);
	if (lac_constraints_check(set)) {
		NL_SET_BAD_ATTR(info->extack, info->attrs[LACUNA_A_CONSTRAINTS]);
		GENL_SET_ERR_MSG(info, "the constraint set is not well-formed");
		return -EINVAL;
	}
	return lac_orders_set_constraints(set);
}

/* ---- orders ---- */

static int parse_site(struct lac_kernel *kernel, const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	struct nlattr *a[LACUNA_SITE_ATTRIBUTES];
	struct lac_site_descriptor *site;
	u32 displaced = 0, i;
	int err;

	err = nla_parse_nested(a, LACUNA_SITE_ATTRIBUTES - 1, attr, site_policy, extack);
	if (err)
		return err;
	if (!a[LACUNA_S_KIND] || !a[LACUNA_S_ADDRESS] || !a[LACUNA_S_BYTES] || !a[LACUNA_S_LENGTHS])
		return -EINVAL;
	site = &kernel->sites[nla_get_u8(a[LACUNA_S_KIND])];
	if (site->address)
		return -EINVAL;
	site->address = nla_get_u64(a[LACUNA_S_ADDRESS]);
	site->bytes_nr = nla_len(a[LACUNA_S_BYTES]);
	memcpy(site->bytes, nla_data(a[LACUNA_S_BYTES]), site->bytes_nr);
	site->lengths_nr = nla_len(a[LACUNA_S_LENGTHS]);
	memcpy(site->lengths, nla_data(a[LACUNA_S_LENGTHS]), site->lengths_nr);
	/* whole instructions, none behind the trap, and one store: see site.c */
	for (i = 0; i < site->lengths_nr; i++) {
		if (displaced >= LACUNA_TRAP_LEN || displaced + site->lengths[i] > site->bytes_nr ||
		    !lac_may_be_displaced(site->bytes + displaced, site->lengths[i],
					  kernel->architecture == LACUNA_X86_64))
			return -EINVAL;
		displaced += site->lengths[i];
	}
	if (displaced < LACUNA_TRAP_LEN || site->address % 8 + LACUNA_TRAP_LEN > 8)
		return -EINVAL;
	return 0;
}

/* Up to 2.6.24 there is no do_one_initcall(); not every kernel can hibernate, or be probed. */
static bool is_optional(u32 kind)
{
	return kind != LACUNA_SITE_FORK && kind != LACUNA_SITE_EXIT;
}

static bool kernel_ok(const struct lac_kernel *k)
{
	u32 i;

	for (i = 0; i < LACUNA_SITE_KINDS; i++) {
		if (is_optional(i) && !k->sites[i].address)
			continue;
		/* without modules it is the kernel's own alone, and gone once it has started */
		if (i == LACUNA_SITE_INITCALL && !k->modules)
			return false;
		if (k->sites[i].address < k->text || k->sites[i].address >= k->end)
			return false;
	}
	if (k->architecture == LACUNA_I386 ? k->end >> 32 : !(k->text >> 32))
		return false;
	if (k->current_kind == LACUNA_CURRENT_STACK &&
	    (!is_power_of_2(k->current_task) || k->current_task < MIN_STACK || k->current_task > MAX_STACK))
		return false;
	return k->text < k->end && k->banner_nr >= 16;
}

static int parse_kernel(struct lac_kernel *kernel, const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	static const u8 needed[] = { LACUNA_K_ID, LACUNA_K_ARCHITECTURE, LACUNA_K_TEXT, LACUNA_K_END, LACUNA_K_BANNER, LACUNA_K_BANNER_TEXT,
				     LACUNA_K_INIT_TASK, LACUNA_K_MODULES, LACUNA_K_CURRENT, LACUNA_K_CURRENT_KIND };
	struct nlattr *a[LACUNA_KERNEL_ATTRIBUTES], *one;
	int err, rest, i;

	err = nla_parse_nested(a, LACUNA_KERNEL_ATTRIBUTES - 1, attr, kernel_policy, extack);
	if (err)
		return err;
	for (i = 0; i < ARRAY_SIZE(needed); i++)
		if (!a[needed[i]])
			return -EINVAL;
	nla_strscpy(kernel->id, a[LACUNA_K_ID], sizeof(kernel->id));
	kernel->architecture = nla_get_u8(a[LACUNA_K_ARCHITECTURE]);
	kernel->text = nla_get_u64(a[LACUNA_K_TEXT]);
	kernel->end = nla_get_u64(a[LACUNA_K_END]);
	kernel->banner = nla_get_u64(a[LACUNA_K_BANNER]);
	kernel->banner_nr = nla_len(a[LACUNA_K_BANNER_TEXT]);
	memcpy(kernel->banner_text, nla_data(a[LACUNA_K_BANNER_TEXT]), kernel->banner_nr);
	kernel->init_task = nla_get_u64(a[LACUNA_K_INIT_TASK]);
	kernel->modules = nla_get_u64(a[LACUNA_K_MODULES]);
	kernel->current_task = nla_get_u64(a[LACUNA_K_CURRENT]);
	kernel->current_kind = nla_get_u8(a[LACUNA_K_CURRENT_KIND]);
	kernel->current_slides = nla_get_flag(a[LACUNA_K_CURRENT_SLIDES]);
	kernel->known = nla_get_flag(a[LACUNA_K_KNOWN]);
	nla_for_each_nested(one, attr, rest) {
		if (nla_type(one) != LACUNA_K_SITE)
			continue;
		err = parse_site(kernel, one, extack);
		if (err)
			return err;
	}
	return kernel_ok(kernel) ? 0 : -EINVAL;
}

static int parse_orders(struct lac_orders *orders, struct genl_info *info)
{
	struct nlattr *attr;
	int rest, err;

	if (GENL_REQ_ATTR_CHECK(info, LACUNA_A_KERNEL) || GENL_REQ_ATTR_CHECK(info, LACUNA_A_DEADLINE_MS))
		return -EINVAL;
	orders->deadline_ms = min_t(u32, nla_get_u32(info->attrs[LACUNA_A_DEADLINE_MS]), MAX_DEADLINE_MS);
	orders->record = nla_get_flag(info->attrs[LACUNA_A_RECORD]);
	orders->kernels = kvcalloc(LACUNA_MAX_KERNELS, sizeof(*orders->kernels), GFP_KERNEL);
	if (!orders->kernels)
		return -ENOMEM;
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rest) {
		if (nla_type(attr) != LACUNA_A_KERNEL)
			continue;
		if (orders->kernels_nr == LACUNA_MAX_KERNELS)
			return -E2BIG;
		err = parse_kernel(&orders->kernels[orders->kernels_nr++], attr, info->extack);
		if (err) {
			NL_SET_BAD_ATTR(info->extack, attr);
			GENL_SET_ERR_MSG(info, "a kernel descriptor is incomplete or wrong");
			return err;
		}
	}
	return 0;
}

static int arm(struct sk_buff *skb, struct genl_info *info)
{
	struct lac_orders orders = {};
	struct lac_guest *guest;
	int err = check_version(info) ?: check_memory_right(skb, info);

	if (err)
		return err;
	guest = find_guest(info);
	if (!guest)
		return -ENOENT;
	err = parse_orders(&orders, info);
	if (!err)
		err = lac_orders_arm(guest, &orders);
	if (err == -ENODATA)
		GENL_SET_ERR_MSG(info, "no constraint set has been given yet");
	if (err == -EBUSY)
		GENL_SET_ERR_MSG(info, "the guest is being hunted already");
	kvfree(orders.kernels);
	lac_guest_put(guest);
	return err;
}

static int ignore(struct sk_buff *skb, struct genl_info *info)
{
	struct lac_guest *guest;
	int err = check_version(info);

	if (err)
		return err;
	guest = find_guest(info);
	if (!guest)
		return -ENOENT;
	err = lac_orders_ignore(guest);
	lac_guest_put(guest);
	return err;
}

static int disarm(struct sk_buff *skb, struct genl_info *info)
{
	struct lac_guest *guest;
	int err = check_version(info);

	if (err)
		return err;
	guest = find_guest(info);
	if (!guest)
		return -ENOENT;
	err = lac_hunt_disarm(guest);
	if (err == -EINPROGRESS)
		GENL_SET_ERR_MSG(info, "bytes cannot be put back while the memory does not answer or a breakpoint is there");
	lac_guest_put(guest);
	return err;
}

/* ---- what is told ---- */

static int put_kernel(struct sk_buff *msg, const struct lac_guest *guest)
{
	if (!guest->kernel)
		return 0;
	if (nla_put_string(msg, LACUNA_A_KERNEL_ID, guest->kernel->id) ||
	    nla_put_u64_64bit(msg, LACUNA_A_SLIDE, guest->slide, LACUNA_A_PAD) ||
	    nla_put_u64_64bit(msg, LACUNA_A_TEXT_GPA, guest->text_gpa, LACUNA_A_PAD))
		return -EMSGSIZE;
	if (nla_put_u8(msg, LACUNA_A_PAGING, guest->paging))
		return -EMSGSIZE;
	return guest->root ? nla_put_u64_64bit(msg, LACUNA_A_ROOT, guest->root, LACUNA_A_PAD) : 0;
}

static int put_stats(struct sk_buff *msg, struct lac_guest *guest)
{
	struct lacuna_stats stats;

	spin_lock(&guest->stats_lock);
	stats = guest->stats;
	spin_unlock(&guest->stats_lock);
	return nla_put(msg, LACUNA_A_STATS, sizeof(stats), &stats);
}

static int put_guest(struct sk_buff *msg, struct lac_guest *guest, enum lacuna_event event)
{
	int err;

	mutex_lock(&guest->lock);
	err = nla_put_u32(msg, LACUNA_A_VERSION, LACUNA_ABI_VERSION) ||
	      nla_put_u32(msg, LACUNA_A_ENGINE, LACUNA_ENGINE_VERSION) || nla_put_u8(msg, LACUNA_A_EVENT, event) ||
	      nla_put_u32(msg, LACUNA_A_GUEST, guest->id) || nla_put_u32(msg, LACUNA_A_VMM_PID, guest->vmm_pid) ||
	      nla_put_u8(msg, LACUNA_A_STATE, guest->state) ||
	      (guest->reason && nla_put_string(msg, LACUNA_A_REASON, guest->reason)) || put_kernel(msg, guest) ||
	      nla_put(msg, LACUNA_A_MEMBERS, guest->members_nr * sizeof(guest->members[0]), guest->members) ||
	      put_stats(msg, guest);
	mutex_unlock(&guest->lock);
	return err ? -EMSGSIZE : 0;
}

/* All of a guest fits with room to spare: the members take the most. */
#define STATUS_SIZE (sizeof(((struct lac_guest *)NULL)->members) + sizeof(struct lacuna_stats) + 1024)

static int put_message(struct sk_buff *msg, u32 portid, u32 seq, int flags, struct lac_guest *guest,
		       enum lacuna_event event, u8 command)
{
	void *head = genlmsg_put(msg, portid, seq, &family, flags, command);

	if (!head)
		return -EMSGSIZE;
	if (put_guest(msg, guest, event)) {
		genlmsg_cancel(msg, head);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, head);
	return 0;
}

int lac_netlink_notify(struct lac_guest *guest, enum lacuna_event event)
{
	struct sk_buff *msg;
	int err;

	if (!genl_has_listeners(&family, &init_net, 0))
		return -ESRCH;
	msg = genlmsg_new(STATUS_SIZE, GFP_KERNEL);
	if (!msg)
		return -ENOMEM;
	err = put_message(msg, 0, 0, 0, guest, event, LACUNA_CMD_EVENT);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	return genlmsg_multicast(&family, msg, 0, 0, GFP_KERNEL);
}

static int reply_status(struct genl_info *info, struct lac_guest *guest)
{
	struct sk_buff *msg = genlmsg_new(STATUS_SIZE, GFP_KERNEL);
	int err;

	if (!msg)
		return -ENOMEM;
	err = put_message(msg, info->snd_portid, info->snd_seq, 0, guest, LACUNA_EVENT_NONE, LACUNA_CMD_STATUS);
	if (err) {
		nlmsg_free(msg);
		return err;
	}
	return genlmsg_reply(msg, info);
}

static int status(struct sk_buff *skb, struct genl_info *info)
{
	struct lac_guest *guest;
	int err = check_version(info);

	if (err)
		return err;
	guest = find_guest(info);
	if (!guest)
		return -ENOENT;
	err = reply_status(info, guest);
	lac_guest_put(guest);
	return err;
}

/* Its file in hand, the virtual machine cannot go before it is on the list, and not be taken off before. */
static int adopt(struct sk_buff *skb, struct genl_info *info)
{
	struct lac_guest *guest = NULL;
	struct file *file;
	struct kvm *kvm;
	int err = check_version(info) ?: check_memory_right(skb, info);

	if (err)
		return err;
	if (GENL_REQ_ATTR_CHECK(info, LACUNA_A_VMM_PID) || GENL_REQ_ATTR_CHECK(info, LACUNA_A_FD))
		return -EINVAL;
	file = fget(nla_get_u32(info->attrs[LACUNA_A_FD]));
	if (!file)
		return -EBADF;
	kvm = lac_kvm_of_file(file);
	if (kvm)
		guest = lac_registry_adopt(kvm, nla_get_u32(info->attrs[LACUNA_A_VMM_PID]));
	else
		GENL_SET_ERR_MSG(info, "the file is no virtual machine of KVM that has a vCPU");
	fput(file);
	if (!guest)
		return kvm ? -ENOMEM : -EINVAL;
	err = reply_status(info, guest);
	lac_guest_put(guest);
	return err;
}

/* cb->args[0]: the number after that of the last guest told. */
static int status_of_all(struct sk_buff *msg, struct netlink_callback *cb)
{
	struct lac_guest *guest;
	int err;

	for (guest = lac_registry_next(cb->args[0]); guest; guest = lac_registry_next(cb->args[0])) {
		err = put_message(msg, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq, NLM_F_MULTI, guest,
				  LACUNA_EVENT_NONE, LACUNA_CMD_STATUS);
		if (!err)
			cb->args[0] = guest->id + 1;
		lac_guest_put(guest);
		if (err)
			break;
	}
	return msg->len;
}

static int reply_data(struct genl_info *info, u8 command, const void *data, u32 size)
{
	struct sk_buff *msg = genlmsg_new(size + 256, GFP_KERNEL);
	void *head;

	if (!msg)
		return -ENOMEM;
	head = genlmsg_put_reply(msg, info, &family, 0, command);
	if (!head || nla_put_u32(msg, LACUNA_A_VERSION, LACUNA_ABI_VERSION) ||
	    nla_put(msg, LACUNA_A_DATA, size, data)) {
		nlmsg_free(msg);
		return -EMSGSIZE;
	}
	genlmsg_end(msg, head);
	return genlmsg_reply(msg, info);
}

static int range_of(struct genl_info *info, u32 most, u64 *address, u32 *length)
{
	if (check_version(info) || GENL_REQ_ATTR_CHECK(info, LACUNA_A_ADDRESS) ||
	    GENL_REQ_ATTR_CHECK(info, LACUNA_A_LENGTH))
		return -EINVAL;
	*address = nla_get_u64(info->attrs[LACUNA_A_ADDRESS]);
	*length = nla_get_u32(info->attrs[LACUNA_A_LENGTH]);
	if (*length && *length <= most)
		return 0;
	NL_SET_BAD_ATTR(info->extack, info->attrs[LACUNA_A_LENGTH]);
	return -ERANGE;
}

static int read_memory(struct sk_buff *skb, struct genl_info *info)
{
	struct lac_guest *guest;
	void *buffer;
	u32 length;
	u64 gpa;
	int err = check_memory_right(skb, info) ?: range_of(info, LACUNA_MAX_READ, &gpa, &length);

	if (err)
		return err;
	if (offset_in_page(gpa) + length > PAGE_SIZE) {
		GENL_SET_ERR_MSG(info, "the range crosses a page");
		return -ERANGE;
	}
	guest = find_guest(info);
	if (!guest)
		return -ENOENT;
	buffer = kmalloc(length, GFP_KERNEL);
	err = buffer ? lac_memory_read(guest, gpa, buffer, length) : -ENOMEM;
	if (!err)
		err = reply_data(info, LACUNA_CMD_READ, buffer, length);
	kfree(buffer);
	lac_guest_put(guest);
	return err;
}

static int read_recording(struct sk_buff *skb, struct genl_info *info)
{
	struct lac_guest *guest;
	void *buffer;
	u32 length;
	u64 offset;
	int err = check_memory_right(skb, info) ?: range_of(info, LACUNA_MAX_RECORDING_READ, &offset, &length);

	if (err)
		return err;
	guest = find_guest(info);
	if (!guest)
		return -ENOENT;
	buffer = kmalloc(length, GFP_KERNEL);
	err = buffer ? 0 : -ENOMEM;
	if (!err) {
		mutex_lock(&guest->engine_lock);
		length = lac_recording_copy(guest->recording, offset, buffer, length);
		mutex_unlock(&guest->engine_lock);
		err = reply_data(info, LACUNA_CMD_RECORDING, buffer, length);
	}
	kfree(buffer);
	lac_guest_put(guest);
	return err;
}

static const struct genl_ops ops[] = {
	{ .cmd = LACUNA_CMD_CONSTRAINTS, .flags = GENL_ADMIN_PERM, .doit = set_constraints },
	{ .cmd = LACUNA_CMD_ARM, .flags = GENL_ADMIN_PERM, .doit = arm },
	{ .cmd = LACUNA_CMD_IGNORE, .flags = GENL_ADMIN_PERM, .doit = ignore },
	{ .cmd = LACUNA_CMD_DISARM, .flags = GENL_ADMIN_PERM, .doit = disarm },
	{ .cmd = LACUNA_CMD_STATUS, .flags = GENL_ADMIN_PERM, .doit = status, .dumpit = status_of_all },
	{ .cmd = LACUNA_CMD_READ, .flags = GENL_ADMIN_PERM, .doit = read_memory },
	{ .cmd = LACUNA_CMD_ADOPT, .flags = GENL_ADMIN_PERM, .doit = adopt },
	{ .cmd = LACUNA_CMD_RECORDING, .flags = GENL_ADMIN_PERM, .doit = read_recording },
};

static struct genl_family family = {
	.name = LACUNA_GENL_NAME,
	.version = LACUNA_ABI_VERSION,
	.maxattr = LACUNA_ATTRIBUTES - 1,
	/*
	 * Some orders take a moment. Those of other families need not wait with them for genl_mutex; but genetlink holds its cb_lock
	 * over every order, so no family can come or go meanwhile, and who comes after one that tries waits.
	 */
	.parallel_ops = true,
	.policy = policy,
	.ops = ops,
	.n_ops = ARRAY_SIZE(ops),
	.mcgrps = groups,
	.n_mcgrps = ARRAY_SIZE(groups),
	.module = THIS_MODULE,
};

int lac_netlink_init(void)
{
	return genl_register_family(&family);
}

void lac_netlink_exit(void)
{
	genl_unregister_family(&family);
}
