/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What kmod/netlink.c needs of the kernel, for user space: messages in a buffer, and attributes checked by their policies as
 * lib/nlattr.c does it for families that are strict (Documentation/core-api/netlink.rst; __nla_validate_parse()).
 * Every <linux/...> header that the module includes is this one. For one file that defines what is declared here: all is static, since
 * libnl has functions of the same names.
 */
#ifndef LACUNA_KERNEL_SHIM_H
#define LACUNA_KERNEL_SHIM_H

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "engine/shim.h"

#define __KERNEL_SHIM__
#define SZ_4K 0x1000
#define SZ_64K 0x10000
#define PAGE_SIZE 4096ul
#define offset_in_page(p) ((p) & (PAGE_SIZE - 1))
#define BUILD_BUG_ON(condition) _Static_assert(!(condition), #condition)
#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define CAP_SYS_PTRACE 19
#define GFP_KERNEL 0
#define THIS_MODULE NULL

typedef struct { int unused; } spinlock_t;
typedef struct { int unused; } wait_queue_head_t;
struct mutex { int unused; };
struct kref { int unused; };
struct rcu_head { int unused; };
struct list_head { struct list_head *next, *prev; };
struct hlist_node { int unused; };
struct work_struct { int unused; };
struct delayed_work { int unused; };
struct kvm;
struct kvm_vcpu;
struct kvm_mp_state;
struct kvm_memory_slot;
struct file;
struct module;
struct net;
enum kvm_mr_change { KVM_MR_CREATE };

static inline void mutex_lock(struct mutex *lock) { (void)lock; }
static inline void mutex_unlock(struct mutex *lock) { (void)lock; }
static inline void spin_lock(spinlock_t *lock) { (void)lock; }
static inline void spin_unlock(spinlock_t *lock) { (void)lock; }
static inline bool is_power_of_2(unsigned long n) { return n && !(n & (n - 1)); }
static inline void *kvcalloc(size_t n, size_t size, int flags) { (void)flags; return calloc(n, size); }
static inline void *kmalloc(size_t size, int flags) { (void)flags; return malloc(size); }
static inline void kfree(const void *p) { free((void *)p); }
static inline void kvfree(const void *p) { free((void *)p); }
static inline void fput(struct file *file) { (void)file; }
static struct file *fget(unsigned int fd);

/* ---- attributes ---- */

enum { NLA_UNSPEC, NLA_U8, NLA_U32, NLA_U64, NLA_FLAG, NLA_BINARY, NLA_NUL_STRING, NLA_NESTED };

struct nla_policy {
	u8 type;
	u8 ranged; /* min and max count */
	u16 len; /* of NESTED: the highest type in it */
	u64 min, max; /* of BINARY: of its length */
	const struct nla_policy *nested;
};

#define NLA_POLICY_RANGE(t, low, high) { .type = t, .ranged = 1, .min = low, .max = high }
#define NLA_POLICY_MIN(t, low) { .type = t, .ranged = 1, .min = low, .max = UINT64_MAX }
#define NLA_POLICY_MAX(t, high) { .type = t, .ranged = 1, .max = high }
#define NLA_POLICY_EXACT_LEN(length) NLA_POLICY_RANGE(NLA_BINARY, length, length)
#define NLA_POLICY_NESTED(p) { .type = NLA_NESTED, .nested = p, .len = ARRAY_SIZE(p) - 1 }

struct netlink_ext_ack {
	const char *message;
	const struct nlattr *bad;
};

static inline int nla_type(const struct nlattr *a) { return a->nla_type & NLA_TYPE_MASK; }
static inline void *nla_data(const struct nlattr *a) { return (char *)a + NLA_HDRLEN; }
static inline int nla_len(const struct nlattr *a) { return a->nla_len - NLA_HDRLEN; }
static inline bool nla_ok(const struct nlattr *a, int left)
{
	return left >= (int)sizeof(*a) && a->nla_len >= sizeof(*a) && a->nla_len <= left;
}
static inline struct nlattr *nla_next(const struct nlattr *a, int *left)
{
	int size = NLA_ALIGN(a->nla_len);

	*left -= size;
	return (struct nlattr *)((char *)a + size);
}
#define nla_for_each_attr(a, head, length, left) for (a = head, left = length; nla_ok(a, left); a = nla_next(a, &(left)))
#define nla_for_each_nested(a, nest, left) nla_for_each_attr(a, nla_data(nest), nla_len(nest), left)
#define nlmsg_for_each_attr(a, nlh, head, left) \
	nla_for_each_attr(a, (struct nlattr *)((char *)(nlh) + NLMSG_HDRLEN + NLMSG_ALIGN(head)), \
			  (int)((nlh)->nlmsg_len - NLMSG_HDRLEN - NLMSG_ALIGN(head)), left)

static int shim_parse(struct nlattr **of, int most, const struct nlattr *head, int length, const struct nla_policy *policy);

static inline int nla_parse_nested(struct nlattr **of, int most, const struct nlattr *nest, const struct nla_policy *policy,
				   struct netlink_ext_ack *extack)
{
	(void)extack;
	if (!(nest->nla_type & NLA_F_NESTED))
		return -EINVAL;
	return shim_parse(of, most, nla_data(nest), nla_len(nest), policy);
}

static inline u8 nla_get_u8(const struct nlattr *a) { return *(const u8 *)nla_data(a); }
static inline u32 nla_get_u32(const struct nlattr *a) { return *(const u32 *)nla_data(a); }
static inline u64 nla_get_u64(const struct nlattr *a)
{
	u64 value;

	memcpy(&value, nla_data(a), sizeof(value));
	return value;
}
static inline bool nla_get_flag(const struct nlattr *a) { return a; }
static inline ssize_t nla_strscpy(char *to, const struct nlattr *a, size_t size)
{
	size_t length = strnlen(nla_data(a), (size_t)nla_len(a));

	if (length >= size)
		length = size - 1;
	memcpy(to, nla_data(a), length);
	memset(to + length, 0, size - length);
	return (ssize_t)length;
}

/* ---- messages ---- */

struct sk_buff {
	u32 len, room;
	u8 *data;
};

struct genl_info {
	u32 snd_seq, snd_portid;
	const struct nlmsghdr *nlhdr;
	struct nlattr **attrs;
	struct netlink_ext_ack *extack;
};

#define GENL_SET_ERR_MSG(info, text) ((info)->extack->message = (text))
#define NL_SET_BAD_ATTR(ack, attr) ((ack)->bad = (attr))
#define GENL_REQ_ATTR_CHECK(info, type) (!(info)->attrs[type])
#define GENL_MCAST_CAP_NET_ADMIN 1

struct genl_multicast_group {
	char name[16];
	u8 flags;
};

struct netlink_callback {
	struct sk_buff *skb;
	const struct nlmsghdr *nlh;
	long args[6];
};

struct netlink_skb_parms {
	u32 portid;
};
extern struct netlink_skb_parms shim_sender;
#define NETLINK_CB(skb) (*((void)(skb), &shim_sender))

struct genl_ops {
	u8 cmd, flags;
	int (*doit)(struct sk_buff *skb, struct genl_info *info);
	int (*dumpit)(struct sk_buff *msg, struct netlink_callback *cb);
};

struct genl_family {
	char name[16];
	unsigned int version, maxattr;
	bool parallel_ops;
	const struct nla_policy *policy;
	const struct genl_ops *ops;
	u8 n_ops, n_mcgrps;
	const struct genl_multicast_group *mcgrps;
	struct module *module;
};

extern struct net init_net;
static bool netlink_capable(const struct sk_buff *skb, int capability);
static int genl_register_family(struct genl_family *family);
static inline int genl_unregister_family(struct genl_family *family) { (void)family; return 0; }
static inline bool genl_has_listeners(struct genl_family *family, struct net *net, unsigned int group)
{
	(void)family, (void)net, (void)group;
	return true;
}

static struct sk_buff *genlmsg_new(size_t payload, int flags);
static void nlmsg_free(struct sk_buff *msg);
static void *genlmsg_put(struct sk_buff *msg, u32 portid, u32 seq, const struct genl_family *family, int flags, u8 command);
static inline void *genlmsg_put_reply(struct sk_buff *msg, struct genl_info *info, const struct genl_family *family, int flags, u8 command)
{
	return genlmsg_put(msg, info->snd_portid, info->snd_seq, family, flags, command);
}
static void genlmsg_cancel(struct sk_buff *msg, void *head);
static inline void genlmsg_end(struct sk_buff *msg, void *head) { (void)msg, (void)head; }
static int genlmsg_reply(struct sk_buff *msg, struct genl_info *info);
static inline int genlmsg_multicast(const struct genl_family *family, struct sk_buff *msg, u32 portid, unsigned int group, int flags)
{
	(void)family, (void)portid, (void)group, (void)flags;
	nlmsg_free(msg);
	return 0;
}

static int nla_put(struct sk_buff *msg, int type, int length, const void *data);
static inline int nla_put_u8(struct sk_buff *msg, int type, u8 value) { return nla_put(msg, type, sizeof(value), &value); }
static inline int nla_put_u32(struct sk_buff *msg, int type, u32 value) { return nla_put(msg, type, sizeof(value), &value); }
static inline int nla_put_u64_64bit(struct sk_buff *msg, int type, u64 value, int pad)
{
	(void)pad;
	return nla_put(msg, type, sizeof(value), &value);
}
static inline int nla_put_string(struct sk_buff *msg, int type, const char *text)
{
	return nla_put(msg, type, (int)strlen(text) + 1, text);
}

#endif
