/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interface of a device to the machine: one constant record of operations,
 * and a state that is private to the device.  The machine's device table is an
 * array of these.
 */
#ifndef VMM_BUS_DEVICE_H
#define VMM_BUS_DEVICE_H

#include <stdint.h>

struct snap_writer;
struct snap_reader;

struct device_ops {
	/* The device's kind, such as "virtio-blk"; part of its section's tag. */
	const char *kind;
	/*
	 * The version of its section, incremented when save writes different
	 * fields; 0 means 1.  load finds the section's version in
	 * snap_reader.version and reads older versions as well.
	 */
	uint32_t version;
	/* Back to power-on.  vCPUs are stopped or the guest asked for it. */
	void (*reset)(void *state);
	/*
	 * Stops the host side: when it returns, no request is in flight and
	 * nothing touches guest memory until resume.  vCPUs are stopped; any
	 * thread.  It does not wait for a page fill, as all devices are
	 * quiesced in one call of the loop.  It waits for the host until
	 * @deadline_ns (clock_now_ns()), which is that of all devices, and
	 * fails then.  0 or -errno, logged.
	 */
	int (*quiesce)(void *state, uint64_t deadline_ns);
	/*
	 * Undoes quiesce, and has the loop serve the queues again.  A request
	 * there may need an unavailable page, so the loop thread does it after
	 * resume returned; resume waits for a page fill only after a load.
	 */
	void (*resume)(void *state);
	/*
	 * Writes or reads the guest-visible state, between quiesce and resume.
	 * load validates all input; on failure the device is as after reset.
	 * Both log errors, except that the caller of load logs -EBADMSG with
	 * the name of the section.
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
