// SPDX-License-Identifier: BSD-2-Clause
/*
 * One request: bounds first, by the table below, then its handler, then the
 * header of the reply.  Any thread that is prepared; nothing is shared here.
 */
#include <errno.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/fs/ops.h"
#include "vmm/fs/session.h"

/* Properties of an operation. */
#define NO_REPLY     (1u << 0)
#define CHANGES	     (1u << 1) /* refused on a read-only share */
#define DATA_FOLLOWS (1u << 2) /* in_bytes of arguments, then data */
#define NO_SESSION   (1u << 3) /* before INIT */
#define ENDS	     (1u << 4) /* gives something up; not refused at a reset */

struct operation {
	request_handler *run;
	uint16_t in_bytes; /* at least, of arguments */
	uint16_t out_bytes; /* at least, of space for the reply's contents */
	unsigned int flags;
};

#define IN(type)  sizeof(struct fuse_##type##_in)
#define OUT(type) sizeof(struct fuse_##type##_out)

/*
 * Other operations return -ENOSYS: locks, which the guest then keeps local,
 * ioctl, poll, DAX.
 */
static const struct operation operations[] = {
	[FUSE_LOOKUP] = { op_lookup, 1, OUT(entry), 0 },
	[FUSE_FORGET] = { op_forget, IN(forget), 0, NO_REPLY },
	[FUSE_GETATTR] = { op_getattr, IN(getattr), OUT(attr), 0 },
	[FUSE_SETATTR] = { op_setattr, IN(setattr), OUT(attr), CHANGES },
	[FUSE_READLINK] = { op_readlink, 0, 0, 0 },
	[FUSE_SYMLINK] = { op_symlink, 2, OUT(entry), CHANGES },
	[FUSE_MKNOD] = { op_mknod, IN(mknod) + 1, OUT(entry), CHANGES },
	[FUSE_MKDIR] = { op_mkdir, IN(mkdir) + 1, OUT(entry), CHANGES },
	[FUSE_UNLINK] = { op_unlink, 1, 0, CHANGES },
	[FUSE_RMDIR] = { op_rmdir, 1, 0, CHANGES },
	[FUSE_RENAME] = { op_rename, IN(rename) + 2, 0, CHANGES },
	[FUSE_LINK] = { op_link, IN(link) + 1, OUT(entry), CHANGES },
	[FUSE_OPEN] = { op_open, IN(open), OUT(open), 0 },
	[FUSE_READ] = { op_read, IN(read), 0, 0 },
	[FUSE_WRITE] = { op_write, IN(write), OUT(write),
			 CHANGES | DATA_FOLLOWS },
	[FUSE_STATFS] = { op_statfs, 0, OUT(statfs), 0 },
	[FUSE_RELEASE] = { op_release, IN(release), 0, ENDS },
	[FUSE_FSYNC] = { op_fsync, IN(fsync), 0, 0 },
	[FUSE_SETXATTR] = { op_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE + 1, 0,
			    CHANGES },
	[FUSE_GETXATTR] = { op_getxattr, IN(getxattr) + 1, 0, 0 },
	[FUSE_LISTXATTR] = { op_listxattr, IN(getxattr), 0, 0 },
	[FUSE_REMOVEXATTR] = { op_removexattr, 1, 0, CHANGES },
	[FUSE_FLUSH] = { op_flush, IN(flush), 0, 0 },
	[FUSE_INIT] = { op_init, FS_INIT_IN_BYTES, OUT(init), NO_SESSION },
	[FUSE_OPENDIR] = { op_opendir, IN(open), OUT(open), 0 },
	[FUSE_READDIR] = { op_readdir, IN(read), 0, 0 },
	[FUSE_RELEASEDIR] = { op_release, IN(release), 0, ENDS },
	[FUSE_FSYNCDIR] = { op_fsyncdir, IN(fsync), 0, 0 },
	[FUSE_ACCESS] = { op_access, IN(access), 0, 0 },
	[FUSE_CREATE] = { op_create, IN(create) + 1, OUT(entry) + OUT(open),
			  CHANGES },
	[FUSE_INTERRUPT] = { op_interrupt, IN(interrupt), 0, NO_REPLY },
	[FUSE_DESTROY] = { op_destroy, 0, 0, ENDS },
	[FUSE_BATCH_FORGET] = { op_batch_forget, IN(batch_forget), 0,
				NO_REPLY },
	[FUSE_FALLOCATE] = { op_fallocate, IN(fallocate), 0, CHANGES },
	[FUSE_READDIRPLUS] = { op_readdirplus, IN(read), 0, 0 },
	[FUSE_RENAME2] = { op_rename2, IN(rename2) + 2, 0, CHANGES },
	[FUSE_LSEEK] = { op_lseek, IN(lseek), OUT(lseek), 0 },
	[FUSE_COPY_FILE_RANGE] = { op_copy_file_range, IN(copy_file_range),
				   OUT(write), CHANGES },
	[FS_OP_SYNCFS] = { op_syncfs, 0, 0, 0 },
	[FS_OP_TMPFILE] = { op_tmpfile, IN(create), OUT(entry) + OUT(open),
			    CHANGES },
};

/* The operation of a request; NULL: not supported. */
static const struct operation *find(uint32_t opcode)
{
	if (opcode >= ARRAY_SIZE(operations) || !operations[opcode].run)
		return NULL;
	return &operations[opcode];
}

/* Checks what the table says, and runs the operation. */
static ssize_t run(struct request *rq, struct span *in,
		   const struct operation *op)
{
	size_t fixed = op->flags & DATA_FOLLOWS ? op->in_bytes : 0;
	ssize_t r;

	if (!session_is_on(rq->server) && !(op->flags & NO_SESSION))
		return -EINVAL;
	if (op->flags & CHANGES && rq->server->config.read_only)
		return -EROFS;
	if (rq->reply.left < op->out_bytes)
		return -EINVAL;
	if (running_is_refused(&rq->server->running) &&
	    !(op->flags & (NO_REPLY | ENDS)))
		return -EINTR;
	r = decode_args(in, &rq->args, op->in_bytes, fixed);
	if (r == 0) {
		rq->data = *in;
		r = op->run(rq);
	}
	args_finish(&rq->args);
	return r;
}

/* Puts the header of the reply before its contents, or an error. */
static size_t finish(struct span *out, uint64_t unique, ssize_t result)
{
	struct fuse_out_header head = { .len = sizeof(head), .unique = unique };

	if (result < 0)
		head.error = (int32_t)result;
	else
		head.len += (uint32_t)result;
	return span_put(out, &head, sizeof(head)) ? head.len : 0;
}

size_t fs_handle(struct fs_server *server, const struct iovec *in,
		 unsigned int in_count, const struct iovec *out,
		 unsigned int out_count)
{
	struct span request = span_of(in, in_count);
	struct span reply = span_of(out, out_count);
	struct request rq = { .server = server, .reply = reply };
	const struct operation *op;
	ssize_t r = -EINVAL;

	host_error_count_request(server);
	if (in_count > FS_IOV_MAX || out_count > FS_IOV_MAX)
		return finish(&reply, 0, -EINVAL);
	r = decode_header(&request, &rq.head);
	if (r < 0)
		return finish(&reply, rq.head.unique, r);
	op = find(rq.head.opcode);
	if (op && op->flags & NO_REPLY) {
		run(&rq, &request, op);
		return 0;
	}
	/* Without space for a reply, nothing may be done. */
	if (reply.left < sizeof(struct fuse_out_header))
		return 0;
	span_skip(&rq.reply, sizeof(struct fuse_out_header));
	running_begin(&server->running, &rq.running, rq.head.unique);
	r = op ? run(&rq, &request, op) : -ENOSYS;
	running_end(&server->running, &rq.running);
	if (r < 0)
		host_error_note(server, rq.head.opcode, rq.head.nodeid,
				(int)-r);
	return finish(&reply, rq.head.unique, r);
}
