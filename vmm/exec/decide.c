/* SPDX-License-Identifier: BSD-2-Clause */
/* The outcome of a session.  Thread `exec'. */
#include <stdio.h>
#include <string.h>

#include "vmm/exec/session_private.h"
#include "vmm/vm/vm.h"

void exec_decide(struct exec_session *s, enum exec_kind kind)
{
	struct exec_outcome *o = &s->outcome;

	if (s->decided)
		return;
	/* Of a command that was not started, whose outcome does not count. */
	if (kind != EXEC_NOT_STARTED && kind != EXEC_FAILED) {
		o->what[0] = '\0';
		o->error = 0;
	}
	o->kind = kind;
	o->ended_ns = s->now_ns - s->config.start_ns;
	s->decided = true;
	if (s->config.decided)
		s->config.decided(s->config.ctx, o);
}

void exec_fail(struct exec_session *s, int error, const char *what)
{
	if (s->decided)
		return;
	s->outcome.error = error;
	snprintf(s->outcome.what, sizeof(s->outcome.what), "%s", what);
	exec_decide(s, EXEC_FAILED);
}

bool exec_is_drained(const struct exec_session *s)
{
	const struct exec_config *c = &s->config;

	return !c->is_drained || c->is_drained(c->ctx);
}

/* The kind for a VM that has ended without an outcome of the command. */
static enum exec_kind kind_of_end(const struct exec_session *s,
				  enum vm_end_kind end)
{
	bool by_guest = end == VM_END_RESET || end == VM_END_CRASH ||
			end == VM_END_POWER_OFF;

	return s->log.panicked && by_guest ? EXEC_PANICKED : exec_end_kind(end);
}

void exec_decide_end(struct exec_session *s, const struct vm_end *end)
{
	struct exec_outcome *o = &s->outcome;

	/* Otherwise a part of the output is lost. */
	if (!s->decided && s->step == STEP_DONE && exec_is_drained(s))
		exec_decide(s, o->kind);
	if (!s->decided) {
		if (end->kind == VM_END_SIGNAL)
			o->signal = (unsigned int)end->detail;
		exec_decide(s, kind_of_end(s, end->kind));
	}
	if (o->kind == EXEC_ENDED && end->kind == VM_END_STOPPED && !*o->what)
		snprintf(o->what, sizeof(o->what),
			 "was ended by its control socket");
	if (o->kind == EXEC_PANICKED)
		snprintf(o->what, sizeof(o->what), "%s", s->log.reason);
}
