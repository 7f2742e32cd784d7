/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every device of a machine is to the machine: one constant record of
 * operations and a state that only the device knows.  The table of a machine's
 * devices is an array of these.
 */
#ifndef VMM_BUS_DEVICE_H
#define VMM_BUS_DEVICE_H

struct snap_writer;
struct snap_reader;

struct device_ops {
	/* The device's kind, such as "virtio-blk"; part of its section's tag. */
	const char *kind;
	/*
	 * The version of its section, raised when save writes other fields than
	 * before; 0 stands for 1.  load reads that of the section in
	 * snap_reader.version, and older ones as long as that makes sense.
	 */
	uint32_t version;
	/* Back to power-on.  vCPUs are stopped or the guest asked for it. */
	void (*reset)(void *state);
	/*
	 * Stops the host side: when it returns, no request is in flight and
	 * nothing touches guest memory until resume.  vCPUs are stopped; any
	 * thread.  It does not wait for a page, as all devices are quiesced in
	 * one call of the loop.  0 or -errno.
	 */
	int (*quiesce)(void *state);
	/*
	 * Undoes quiesce, and has the loop look at the queues again.  What it
	 * finds there may need a page that does not come, so it is left to the
	 * loop: resume itself waits for a page only after a load.
	 */
	void (*resume)(void *state);
	/*
	 * Writes or reads the guest-visible state, between quiesce and resume.
	 * load trusts nothing; on failure the device is as after reset.  Both
	 * log what fails, but load not -EBADMSG: who has the section names it.
	 */
	int (*save)(void *state, struct snap_writer *w);
	int (*load)(void *state, struct snap_reader *r);
	/* Frees the state; the loop is stopped. */
	void (*destroy)(void *state);
};

struct device {
	const struct device_ops *ops;
	void *state; /* owned by the table that holds the device */
	char name[32]; /* unique in a machine: "disk0", "console" */
};

#endif
