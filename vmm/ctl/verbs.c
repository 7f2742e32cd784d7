/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the control side can ask of a machine: the one table of verbs.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "vmm/base/bytes.h"
#include "vmm/base/json.h"
#include "vmm/ctl/ctl.h"
#include "vmm/vm/snapshot.h"
#include "vmm/vm/vm.h"

/* Begins an answer; the verb adds its members. */
static void answer_begin(struct json *json, FILE *out, bool ok)
{
	json_init(json, out, false);
	json_object_begin(json, NULL);
	json_bool(json, "ok", ok);
}

/* Ends it. */
static void answer_end(struct json *json)
{
	json_object_end(json);
	json_finish(json);
}

/* A whole answer: ok, or what failed and why. */
static void answer(FILE *out, const char *what, int result)
{
	struct json json;
	char why[512];

	answer_begin(&json, out, result >= 0);
	if (result < 0) {
		snprintf(why, sizeof(why), "%s: %s", what, strerror(-result));
		json_string(&json, "error", why);
	}
	answer_end(&json);
}

/* A whole answer: no, for this reason. */
static void refuse(FILE *out, const char *why)
{
	struct json json;

	answer_begin(&json, out, false);
	json_string(&json, "error", why);
	answer_end(&json);
}

static void do_status(struct vm *vm, char *args, FILE *out)
{
	const struct vm_config *config = vm_get_config(vm);
	struct json json;

	(void)args;
	answer_begin(&json, out, true);
	json_string(&json, "thaw", THAW_VERSION);
	json_string(&json, "state", vm_is_paused(vm) ? "paused" : "running");
	json_bool(&json, "waits_for_memory", vm_waits_for_memory(vm));
	json_uint(&json, "cpus", config->cpu_count);
	json_uint(&json, "memory_bytes", config->memory_bytes);
	json_string(&json, "pager", pager_way_words[vm_pager_choice(vm)->way]);
	answer_end(&json);
}

static void do_stats(struct vm *vm, char *args, FILE *out)
{
	struct pager_stats s = { 0 };
	struct json json;

	(void)args;
	vm_pager_stats(vm, &s);
	answer_begin(&json, out, true);
	json_string(&json, "pager", pager_way_words[vm_pager_choice(vm)->way]);
	json_uint(&json, "source_bytes", s.source_pages * PAGE_BYTES);
	json_uint(&json, "absent_bytes", s.absent_pages * PAGE_BYTES);
	json_uint(&json, "failures", s.failures);
	json_uint(&json, "retries", s.retries);
	json_object_begin(&json, "faults");
	for (unsigned int i = 0; i < PAGER_CAUSES; i++)
		json_uint(&json, pager_cause_words[i], s.faults[i]);
	json_object_end(&json);
	answer_end(&json);
}

static void do_pause(struct vm *vm, char *args, FILE *out)
{
	(void)args;
	answer(out, "pause", vm_pause(vm));
}

static void do_resume(struct vm *vm, char *args, FILE *out)
{
	(void)args;
	vm_resume(vm);
	answer(out, "resume", 0);
}

/* "snapshot [--stop] DIR"; DIR is the rest of the line. */
static void do_snapshot(struct vm *vm, char *args, FILE *out)
{
	static const char stop_word[] = "--stop";
	size_t len = strlen(stop_word);
	bool stop = strncmp(args, stop_word, len) == 0 &&
		    (args[len] == ' ' || args[len] == '\0');
	bool was_paused = vm_is_paused(vm);
	int r;

	if (stop) {
		args += len;
		args += strspn(args, " ");
	}
	if (!*args) {
		refuse(out, "snapshot: no directory given");
		return;
	}
	r = vm_pause(vm);
	if (r >= 0)
		r = vm_save(vm, args, NULL);
	if (r >= 0 && stop)
		vm_end(vm, VM_END_STOPPED, 0);
	else if (!was_paused)
		vm_resume(vm);
	answer(out, args, r);
}

static void do_power_button(struct vm *vm, char *args, FILE *out)
{
	(void)args;
	answer(out, "power-button", vm_power_button(vm));
}

static void do_go_on(struct vm *vm, char *args, FILE *out)
{
	(void)args;
	vm_go_on(vm);
	answer(out, "go-on", 0);
}

static void do_quit(struct vm *vm, char *args, FILE *out)
{
	(void)args;
	vm_end(vm, VM_END_STOPPED, 0);
	answer(out, "quit", 0);
}

/* The table. */
static const struct verb {
	const char *name;
	const char *help;
	void (*run)(struct vm *vm, char *args, FILE *out);
} verbs[] = {
	{ "status", "status              what the machine is doing",
	  do_status },
	{ "stats", "stats               figures of the pager", do_stats },
	{ "pause", "pause               stop the vCPUs and the devices",
	  do_pause },
	{ "resume", "resume              let them go on", do_resume },
	{ "snapshot", "snapshot [--stop] DIR  save the machine; go on, or end",
	  do_snapshot },
	{ "power-button", "power-button        press it", do_power_button },
	{ "go-on", "go-on               try again for memory that failed",
	  do_go_on },
	{ "quit", "quit                end the machine at once", do_quit },
};

/* The help of a verb. */
const char *ctl_verb_help(unsigned int n)
{
	return n < ARRAY_SIZE(verbs) ? verbs[n].help : NULL;
}

/* Carries out one line. */
void ctl_execute(struct vm *vm, char *line, FILE *out)
{
	char *args = line + strcspn(line, " ");

	if (*args)
		*args++ = '\0';
	args += strspn(args, " ");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, line) == 0) {
			verbs[i].run(vm, args, out);
			return;
		}
	}
	refuse(out, "no such verb");
}
