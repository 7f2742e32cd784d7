/* SPDX-License-Identifier: BSD-2-Clause */
/* The handlers of all operations, for the table in dispatch.c. */
#ifndef VMM_FS_OPS_H
#define VMM_FS_OPS_H

#include "vmm/fs/server.h"

/* op_init.c */
request_handler op_init, op_destroy, op_interrupt;
/* op_lookup.c */
request_handler op_lookup, op_forget, op_batch_forget;
/* op_attr.c */
request_handler op_getattr, op_setattr, op_access;
/* op_create.c */
request_handler op_mknod, op_mkdir, op_symlink, op_link, op_create, op_tmpfile;
/* op_remove.c */
request_handler op_unlink, op_rmdir, op_rename, op_rename2;
/* op_open.c */
request_handler op_open, op_opendir, op_release, op_flush, op_fsync,
	op_fsyncdir;
/* op_io.c */
request_handler op_read, op_write, op_readlink;
/* op_readdir.c */
request_handler op_readdir, op_readdirplus;
/* op_xattr.c */
request_handler op_getxattr, op_setxattr, op_listxattr, op_removexattr;
/* op_space.c */
request_handler op_statfs, op_fallocate, op_lseek, op_copy_file_range,
	op_syncfs;

#endif
