// SPDX-License-Identifier: GPL-2.0-only
/* kmod/netlink.c as it is, and what is around it as far as it takes orders and tells of guests. */
#include "kernel_shim.h"

#include "../../kmod/netlink.c"
#include "module_side.h"

struct net {
	int unused;
};

struct net init_net;
struct netlink_skb_parms shim_sender;
static struct genl_family *registered;
static struct lac_guest the_guest;

static void broken(const char *what)
{
	(void)what; /* for who looks at the stack */
	abort();
}

/* ---- lib/nlattr.c ---- */

static int check_range(const struct nla_policy *policy, u64 value)
{
	return policy->ranged && (value < policy->min || value > policy->max) ? -ERANGE : 0;
}

static int check_one(const struct nlattr *a, const struct nla_policy *policy)
{
	static const u8 sizes[] = { [NLA_U8] = 1, [NLA_U32] = 4, [NLA_U64] = 8 };
	struct nlattr *unused[64];
	int length = nla_len(a);

	switch (policy->type) {
	case NLA_U8:
	case NLA_U32:
	case NLA_U64:
		if (length != sizes[policy->type])
			return -EINVAL;
		return check_range(policy, length == 1 ? nla_get_u8(a) : length == 4 ? nla_get_u32(a) : nla_get_u64(a));
	case NLA_FLAG:
		return length ? -ERANGE : 0;
	case NLA_BINARY:
		if (policy->len && length > policy->len)
			return -ERANGE;
		return check_range(policy, (u64)length);
	case NLA_NUL_STRING:
		if (!length || !memchr(nla_data(a), 0, (size_t)min_t(int, length, policy->len + 1)))
			return -EINVAL;
		return length - (((char *)nla_data(a))[length - 1] == 0) > policy->len ? -ERANGE : 0;
	case NLA_NESTED:
		if (!(a->nla_type & NLA_F_NESTED))
			return -EINVAL;
		if (!length)
			return 0;
		return length < NLA_HDRLEN ? -ERANGE : shim_parse(unused, policy->len, nla_data(a), length, policy->nested);
	default:
		return -EINVAL;
	}
}

static int shim_parse(struct nlattr **of, int most, const struct nlattr *head, int length, const struct nla_policy *policy)
{
	const struct nlattr *a;
	int left, err;

	memset(of, 0, sizeof(*of) * (size_t)(most + 1));
	nla_for_each_attr(a, head, length, left) {
		if (!nla_type(a) || nla_type(a) > most)
			return -EINVAL;
		err = check_one(a, &policy[nla_type(a)]);
		if (err)
			return err;
		of[nla_type(a)] = (struct nlattr *)a;
	}
	return left > 0 ? -EINVAL : 0;
}

/* ---- messages ---- */

static struct sk_buff *genlmsg_new(size_t payload, int flags)
{
	struct sk_buff *msg = calloc(1, sizeof(*msg));

	(void)flags;
	msg->room = (u32)(NLMSG_HDRLEN + GENL_HDRLEN + NLMSG_ALIGN(payload));
	msg->data = malloc(msg->room);
	return msg;
}

static void nlmsg_free(struct sk_buff *msg)
{
	free(msg->data);
	free(msg);
}

static void *genlmsg_put(struct sk_buff *msg, u32 portid, u32 seq, const struct genl_family *family, int flags, u8 command)
{
	(void)portid, (void)seq, (void)family, (void)flags, (void)command;
	if (msg->room - msg->len < NLMSG_HDRLEN + GENL_HDRLEN)
		return NULL;
	msg->len += NLMSG_HDRLEN + GENL_HDRLEN;
	return msg->data + msg->len;
}

static void genlmsg_cancel(struct sk_buff *msg, void *head)
{
	msg->len = (u32)((u8 *)head - msg->data) - NLMSG_HDRLEN - GENL_HDRLEN;
}

static int nla_put(struct sk_buff *msg, int type, int length, const void *data)
{
	struct nlattr head = { .nla_len = (u16)(NLA_HDRLEN + length), .nla_type = (u16)type };

	if (length < 0 || NLA_HDRLEN + length > UINT16_MAX)
		broken("an attribute is too long for its header");
	if (msg->room - msg->len < (u32)NLA_ALIGN(NLA_HDRLEN + length))
		return -EMSGSIZE;
	memcpy(msg->data + msg->len, &head, sizeof(head));
	if (length)
		memcpy(msg->data + msg->len + NLA_HDRLEN, data, (size_t)length);
	msg->len += (u32)NLA_ALIGN(NLA_HDRLEN + length);
	return 0;
}

static int genlmsg_reply(struct sk_buff *msg, struct genl_info *info)
{
	(void)info;
	nlmsg_free(msg);
	return 0;
}

static bool netlink_capable(const struct sk_buff *skb, int capability)
{
	(void)skb, (void)capability;
	return true;
}

static int genl_register_family(struct genl_family *family)
{
	registered = family;
	return 0;
}

/* ---- the rest of the module ---- */

static struct file *fget(unsigned int fd)
{
	return fd % 2 ? (struct file *)&the_guest : NULL;
}

struct kvm *lac_kvm_of_file(struct file *file)
{
	return (struct kvm *)file;
}

struct lac_guest *lac_registry_find_id(u32 id)
{
	return id == 1 ? &the_guest : NULL;
}

struct lac_guest *lac_registry_next(u32 id)
{
	return id <= 1 ? &the_guest : NULL;
}

struct lac_guest *lac_registry_adopt(struct kvm *kvm, pid_t vmm_pid)
{
	(void)kvm, (void)vmm_pid;
	return &the_guest;
}

void lac_guest_put(struct lac_guest *guest)
{
	(void)guest;
}

int lac_orders_set_constraints(const struct lacuna_constraints *set)
{
	module_constraints(set);
	return 0;
}

static void check_site(const struct lac_kernel *kernel, const struct lac_site_descriptor *site)
{
	u32 displaced = 0, i;

	if (site->bytes_nr > LACUNA_SITE_BYTES || site->lengths_nr > LAC_MAX_DISPLACED)
		broken("a site's arrays end where they end");
	for (i = 0; i < site->lengths_nr; i++)
		displaced += site->lengths[i];
	if (displaced < LACUNA_TRAP_LEN || displaced > site->bytes_nr)
		broken("whole instructions are displaced, whose bytes are known");
	if (site->address < kernel->text || site->address >= kernel->end || site->address % 8 + LACUNA_TRAP_LEN > 8)
		broken("a trap lies in the kernel, and in one word");
}

int lac_orders_arm(struct lac_guest *guest, struct lac_orders *orders)
{
	u32 i, k;

	(void)guest;
	if (!orders->kernels_nr || orders->kernels_nr > LACUNA_MAX_KERNELS || !orders->deadline_ms ||
	    orders->deadline_ms > MAX_DEADLINE_MS)
		broken("orders are bounded");
	for (i = 0; i < orders->kernels_nr; i++) {
		const struct lac_kernel *kernel = &orders->kernels[i];

		if (strnlen(kernel->id, sizeof(kernel->id)) == sizeof(kernel->id) || kernel->banner_nr > LACUNA_MAX_BANNER)
			broken("a kernel's texts are bounded");
		for (k = 0; k < LACUNA_SITE_KINDS; k++)
			if (k <= LACUNA_SITE_EXIT || kernel->sites[k].address)
				check_site(kernel, &kernel->sites[k]);
	}
	return 0; /* it is the caller's still */
}

int lac_orders_ignore(struct lac_guest *guest)
{
	(void)guest;
	return 0;
}

int lac_hunt_disarm(struct lac_guest *guest)
{
	(void)guest;
	return -EINPROGRESS;
}

int lac_memory_read(struct lac_guest *guest, u64 gpa, void *buffer, u32 len)
{
	(void)guest;
	if (!len || offset_in_page(gpa) + len > PAGE_SIZE)
		broken("no read crosses a page");
	memset(buffer, 0, len);
	return 0;
}

u32 lac_recording_copy(const struct lac_recording *recording, u64 offset, void *to, u32 size)
{
	(void)recording, (void)offset;
	memset(to, 0, size);
	return size;
}

/* ---- net/netlink/genetlink.c ---- */

int module_take(uint8_t command, int dump, const uint8_t *attributes, size_t size)
{
	static struct nlattr *attrs[LACUNA_ATTRIBUTES];
	struct netlink_ext_ack extack = {};
	struct nlmsghdr *head = calloc(1, NLMSG_HDRLEN + GENL_HDRLEN + size);
	struct genl_info info = { .nlhdr = head, .attrs = attrs, .extack = &extack };
	struct lac_kernel *kernel = calloc(1, sizeof(*kernel));
	u32 i;
	int err;

	if (!registered)
		lac_netlink_init();
	the_guest.kernel = kernel;
	the_guest.members_nr = LACUNA_MAX_MEMBERS;
	the_guest.reason = "a reason";
	head->nlmsg_len = (u32)(NLMSG_HDRLEN + GENL_HDRLEN + size);
	if (size)
		memcpy((char *)head + NLMSG_HDRLEN + GENL_HDRLEN, attributes, size);
	err = shim_parse(attrs, (int)registered->maxattr, (struct nlattr *)((char *)head + NLMSG_HDRLEN + GENL_HDRLEN), (int)size,
			 registered->policy);
	for (i = 0; !err && i < registered->n_ops; i++) {
		const struct genl_ops *op = &registered->ops[i];

		if (op->cmd != command)
			continue;
		if (dump && op->dumpit) {
			struct sk_buff *msg = genlmsg_new(PAGE_SIZE, GFP_KERNEL);
			struct netlink_callback cb = { .skb = msg, .nlh = head };

			err = op->dumpit(msg, &cb) < 0 ? -EINVAL : 0;
			nlmsg_free(msg);
		} else {
			err = op->doit(NULL, &info);
		}
	}
	if (!err)
		lac_netlink_notify(&the_guest, LACUNA_EVENT_PROGRESS);
	free(kernel);
	free(head);
	return err;
}
