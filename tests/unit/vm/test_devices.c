/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices are brought to rest and resumed while one needs a page that does not
 * come before the control side says "retry": neither waits for it.  The machine
 * has no vCPU and no KVM, only an event loop, a pager and devices of ours.
 *
 * Each device forces one interleaving where the order is not decided by a call:
 * it waits for the other side, but not for ever, so that a program with another
 * order is judged as well.  A test that hangs is ended by SIGALRM.
 */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/pager/lib.h"
#include "vmm/base/clock.h"
#include "vmm/bus/loop.h"
#include "vmm/vm/private.h"

#define PAGES	 64
#define PAGE	 5
#define DEADLINE 20000000 /* ns, of a read */
#define HANGS_S	 60

/* The machine of a test. */
struct bed {
	struct vm vm;
	struct fixture memory;
	char broken[64]; /* the page cannot be read while this file is there */
	struct loop_source *source;
	int kick_fd; /* has the loop touch the page */
	bool kick_at_resume;
	sem_t entered, release;
	atomic_uint touched; /* how often it got the page */
	/* The device's host side; the loop's. */
	unsigned int quiesces, resumes;
	bool at_rest;
	uint64_t deadline_ns; /* of the first device's quiesce */
	bool one_deadline; /* the second has the same */
};

/* Waits a moment; whether the loop's thread waits for the page. */
static bool wait_wanted(const struct bed *bed)
{
	for (int i = 0; i < 300 && !pager_has_demand(bed->memory.pager); i++)
		usleep(1000);
	return pager_has_demand(bed->memory.pager);
}

/* A request: it begins when it is released, and needs the page.  Loop. */
static void on_kick(void *ctx, uint32_t events)
{
	struct bed *bed = ctx;
	struct timespec until;
	uint64_t word;

	(void)events;
	if (read(bed->kick_fd, &word, sizeof(word)) < 0)
		return;
	sem_post(&bed->entered);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	sem_timedwait(&bed->release, &until);
	if (memory_read(&bed->memory.memory,
			test_gpa(&bed->memory.memory, PAGE), &word,
			sizeof(word)) == 0)
		atomic_fetch_add(&bed->touched, 1);
}

static void kick(struct bed *bed)
{
	uint64_t one = 1;

	assert_int_equal(write(bed->kick_fd, &one, sizeof(one)), sizeof(one));
}

/* The first device: lets the request begin in the middle of a pause. */
static int trigger_quiesce(void *state, uint64_t deadline_ns)
{
	struct bed *bed = state;

	bed->deadline_ns = deadline_ns;

	sem_post(&bed->release);
	wait_wanted(bed);
	return 0;
}

/* And starts it in the middle of a resume. */
static void trigger_resume(void *state)
{
	struct bed *bed = state;

	if (!bed->kick_at_resume)
		return;
	sem_post(&bed->release);
	kick(bed);
	wait_wanted(bed);
}

/* The second has a host side of the loop's, as virtio devices have. */
static void rest_on_loop(void *ctx)
{
	struct bed *bed = ctx;

	bed->quiesces++;
	bed->at_rest = true;
}

static int worker_quiesce(void *state, uint64_t deadline_ns)
{
	struct bed *bed = state;

	bed->one_deadline = deadline_ns == bed->deadline_ns;

	loop_call(bed->vm.loop, rest_on_loop, bed);
	return 0;
}

static void work_on_loop(void *ctx)
{
	struct bed *bed = ctx;

	bed->resumes++;
	bed->at_rest = false;
}

static void worker_resume(void *state)
{
	struct bed *bed = state;

	loop_call(bed->vm.loop, work_on_loop, bed);
}

static const struct device_ops trigger_ops = { .kind = "trigger",
					       .quiesce = trigger_quiesce,
					       .resume = trigger_resume };
static const struct device_ops worker_ops = { .kind = "worker",
					      .quiesce = worker_quiesce,
					      .resume = worker_resume };

/* Makes a machine that runs, and whose page cannot be read. */
static void open_bed(struct bed *bed)
{
	char inject[128];
	struct vm *vm = &bed->vm;

	*bed = (struct bed){ .kick_fd = eventfd(0, EFD_NONBLOCK) };
	snprintf(bed->broken, sizeof(bed->broken), "/tmp/test_devices.XXXXXX");
	close(mkstemp(bed->broken));
	snprintf(inject, sizeof(inject), "while=%s@%d", bed->broken, PAGE);
	fixture_open(&bed->memory,
		     (struct pager_config){ .mode = PAGER_USERFAULT,
					    .run_pages = 1,
					    .deadline_ns = DEADLINE,
					    .on_error = PAGER_PAUSE },
		     inject, test_source(PAGES), PAGES);
	assert_int_equal(pager_start(bed->memory.pager), 0);
	sem_init(&bed->entered, 0, 0);
	sem_init(&bed->release, 0, 0);
	vm->pager = bed->memory.pager;
	atomic_store(&vm->phase, VM_PHASE_RUN);
	pthread_mutex_init(&vm->lock, NULL);
	clock_cond_init(&vm->changed);
	assert_int_equal(loop_create(&vm->loop), 0);
	assert_int_equal(loop_add(vm->loop, &bed->source, bed->kick_fd, EPOLLIN,
				  on_kick, bed),
			 0);
	assert_int_equal(loop_start(vm->loop), 0);
	vm->devices[vm->device_count++] =
		(struct device){ &trigger_ops, bed, "trigger" };
	vm->devices[vm->device_count++] =
		(struct device){ &worker_ops, bed, "worker" };
	alarm(HANGS_S);
}

static void close_bed(struct bed *bed)
{
	pager_cancel(bed->memory.pager);
	loop_destroy(bed->vm.loop);
	fixture_close(&bed->memory);
	close(bed->kick_fd);
	unlink(bed->broken);
	alarm(0);
}

/* Until the page has failed, and the loop waits for "retry". */
static void wait_failed(const struct bed *bed)
{
	for (int i = 0; i < 10000 && !vm_is_stalled(&bed->vm); i++)
		usleep(1000);
	assert_true(vm_is_stalled(&bed->vm));
}

/* The page can be read again: the request is done, and all goes on. */
static void mend(struct bed *bed)
{
	assert_int_equal(atomic_load(&bed->touched), 0);
	unlink(bed->broken);
	vm_retry_pages(&bed->vm);
	for (int i = 0; i < 10000 && !atomic_load(&bed->touched); i++)
		usleep(1000);
	assert_int_equal(atomic_load(&bed->touched), 1);
}

/* A machine that has nothing to wait for comes to rest. */
static void rest_and_resume(struct bed *bed)
{
	unsigned int before = bed->quiesces;

	assert_int_equal(vm_devices_quiesce(&bed->vm), 0);
	assert_true(bed->at_rest);
	assert_true(bed->one_deadline);
	assert_in_range(bed->deadline_ns, clock_now_ns(),
			clock_now_ns() + 10 * NS_PER_S);
	assert_int_equal(bed->quiesces, before + 1);
	assert_int_equal(bed->resumes, before);
	vm_devices_resume(&bed->vm);
	assert_false(bed->at_rest);
	assert_int_equal(bed->resumes, before + 1);
}

/* A request that has begun already needs the page only later. */
static void request_begins_while_quiesced(void **state)
{
	struct bed bed;

	(void)state;
	open_bed(&bed);
	kick(&bed);
	sem_wait(&bed.entered);
	assert_int_equal(vm_devices_quiesce(&bed.vm), -ETIMEDOUT);
	wait_failed(&bed);
	assert_int_equal(vm_devices_quiesce(&bed.vm), -ETIMEDOUT);
	mend(&bed);
	assert_int_equal(bed.quiesces, bed.resumes);
	rest_and_resume(&bed);
	close_bed(&bed);
}

/* A request begins with the first device that is resumed. */
static void request_begins_while_resumed(void **state)
{
	struct bed bed;

	(void)state;
	open_bed(&bed);
	assert_int_equal(vm_devices_quiesce(&bed.vm), 0);
	bed.kick_at_resume = true;
	vm_devices_resume(&bed.vm);
	bed.kick_at_resume = false;
	wait_failed(&bed);
	assert_int_equal(vm_devices_quiesce(&bed.vm), -ETIMEDOUT);
	mend(&bed);
	assert_int_equal(bed.quiesces, bed.resumes);
	rest_and_resume(&bed);
	close_bed(&bed);
}

/* A machine that ends while its loop stands still does not come to rest. */
static void *end_soon(void *arg)
{
	struct bed *bed = arg;

	usleep(50000);
	vm_end(&bed->vm, VM_END_STOPPED, 0);
	return NULL;
}

static void end_while_quiesced(void **state)
{
	struct bed bed;
	pthread_t thread;

	(void)state;
	open_bed(&bed);
	bed.vm.end_fd = eventfd(0, 0);
	kick(&bed);
	sem_wait(&bed.entered);
	pthread_create(&thread, NULL, end_soon, &bed);
	assert_int_equal(vm_devices_quiesce(&bed.vm), -ECANCELED);
	pthread_join(thread, NULL);
	assert_int_equal(bed.quiesces, 0);
	close(bed.vm.end_fd);
	close_bed(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_begins_while_quiesced),
		cmocka_unit_test(request_begins_while_resumed),
		cmocka_unit_test(end_while_quiesced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
