/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fault injection: a page source over another one, whose reads it delays or
 * fails by rules (see source.h).
 *
 * The rules are constant after parsing, except the hits of each, a counter with
 * relaxed order.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/bytes.h"
#include "vmm/base/futex.h"
#include "vmm/base/log.h"
#include "vmm/pager/source.h"

#define RULES_MAX 16

enum rule_kind {
	RULE_DELAY,
	RULE_JITTER,
	RULE_WHILE,
	RULE_SHORTS,
	RULE_SHORT,
	RULE_ONCE,
	RULE_ALWAYS,
	RULE_NEVER,
};

/* Those that end with = have a value, and their page is optional. */
static const char *const rule_names[] = {
	[RULE_DELAY] = "delay=",  [RULE_JITTER] = "jitter=",
	[RULE_WHILE] = "while=",  [RULE_SHORTS] = "short=",
	[RULE_SHORT] = "short",	  [RULE_ONCE] = "once",
	[RULE_ALWAYS] = "always", [RULE_NEVER] = "never",
};

struct rule {
	enum rule_kind kind;
	const char *where; /* describe() of its pages; NULL: by number, any */
	bool any;
	uint64_t page;
	uint64_t number; /* a time, or how many */
	const char *file;
	atomic_uint hits;
};

struct source_inject {
	struct page_source source;
	struct page_source *inner; /* owned */
	char *spec; /* a copy that the rules point into; owned */
	struct rule rules[RULES_MAX];
	unsigned int rule_count;
	_Atomic uint32_t cancelled; /* a futex */
};

/* Sleeps; -EINTR when a signal comes. */
static int sleep_us(uint64_t us)
{
	struct timespec t = { .tv_sec = (time_t)(us / 1000000),
			      .tv_nsec = (long)(us % 1000000 * 1000) };

	return nanosleep(&t, NULL) < 0 ? -errno : 0;
}

/* A random number below @limit. */
static uint64_t random_up_to(uint64_t limit)
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
		return 0;
	return limit ? r % limit : 0;
}

/* Blocks until cancelled or signalled. */
static int block_read(struct source_inject *si)
{
	while (!atomic_load(&si->cancelled))
		if (futex_wait(&si->cancelled, 0) == -EINTR)
			return -EINTR;
	return -ECANCELED;
}

static void inject_cancel(struct page_source *source)
{
	struct source_inject *si =
		container_of(source, struct source_inject, source);

	atomic_store(&si->cancelled, 1);
	futex_wake_all(&si->cancelled);
	if (si->inner->ops->cancel)
		si->inner->ops->cancel(si->inner);
}

/* Counts a hit; returns the number of earlier ones. */
static unsigned int hits(struct rule *rule)
{
	return atomic_fetch_add_explicit(&rule->hits, 1, memory_order_relaxed);
}

/* Reads, overwrites the second half, and fails; a check has nothing to read. */
static int read_short(struct source_inject *si, uint64_t page, uint32_t count,
		      uint8_t *to)
{
	if (!to)
		return -EIO;
	si->inner->ops->read(si->inner, page, count, to);
	memset(to + count * PAGE_BYTES / 2, 0xdb, count * PAGE_BYTES / 2);
	return -EIO;
}

/* Applies one rule to a read; 0 or its failure. */
static int apply_rule(struct source_inject *si, struct rule *rule,
		      uint64_t page, uint32_t count, uint8_t *to)
{
	switch (rule->kind) {
	case RULE_DELAY:
		return sleep_us(rule->number * 1000);
	case RULE_JITTER:
		return sleep_us(random_up_to(rule->number));
	case RULE_WHILE:
		return access(rule->file, F_OK) == 0 ? -EIO : 0;
	case RULE_SHORTS:
		if (hits(rule) >= rule->number)
			return 0;
		/* fall through */
	case RULE_SHORT:
		return read_short(si, page, count, to);
	case RULE_ONCE:
		return hits(rule) ? 0 : -EIO;
	case RULE_ALWAYS:
		return -EIO;
	case RULE_NEVER:
		return block_read(si);
	}
	return 0;
}

/* Whether a rule applies to one of these pages. */
static bool concerns(struct source_inject *si, const struct rule *rule,
		     uint64_t page, uint32_t count)
{
	bool found = rule->any || (!rule->where && rule->page - page < count);

	for (uint32_t i = 0; rule->where && !found && i < count; i++)
		found = !strcmp(rule->where,
				si->inner->ops->describe(si->inner, page + i));
	return found;
}

/* Applies all rules; @to is NULL for a check. */
static int apply_rules(struct source_inject *si, uint64_t page, uint32_t count,
		       uint8_t *to)
{
	for (unsigned int i = 0; i < si->rule_count; i++) {
		struct rule *rule = &si->rules[i];
		int r;

		if (!concerns(si, rule, page, count))
			continue;
		r = apply_rule(si, rule, page, count, to);
		if (r < 0)
			return r;
	}
	return 0;
}

static int inject_read(struct page_source *source, uint64_t page,
		       uint32_t count, uint8_t *to)
{
	struct source_inject *si =
		container_of(source, struct source_inject, source);
	int r = apply_rules(si, page, count, to);

	return r < 0 ? r : si->inner->ops->read(si->inner, page, count, to);
}

static int inject_check(struct page_source *source, uint64_t page,
			uint32_t count, const uint8_t *at)
{
	struct source_inject *si =
		container_of(source, struct source_inject, source);
	int r = apply_rules(si, page, count, NULL);

	return r < 0 ? r : si->inner->ops->check(si->inner, page, count, at);
}

static const char *inject_describe(struct page_source *source, uint64_t page)
{
	struct source_inject *si =
		container_of(source, struct source_inject, source);

	return si->inner->ops->describe(si->inner, page);
}

static void inject_destroy(struct page_source *source)
{
	struct source_inject *si =
		container_of(source, struct source_inject, source);

	/* The runs are the inner source's. */
	page_source_destroy(si->inner);
	free(si->spec);
	free(si);
}

static const struct page_source_ops inject_ops = {
	.name = "fault injection",
	.read = inject_read,
	.check = inject_check,
	.cancel = inject_cancel,
	.describe = inject_describe,
	.destroy = inject_destroy,
};

/* Parses all of @text as a number. */
static bool parse_number(const char *text, uint64_t *number)
{
	char *end;

	*number = strtoull(text, &end, 0);
	return *text && !*end;
}

/* Parses the PAGE of a rule; NULL: any page. */
static bool parse_where(struct rule *rule, const char *text)
{
	rule->any = !text || !strcmp(text, "any");
	if (rule->any || parse_number(text, &rule->page))
		return true;
	rule->where = text;
	return *text && !strchr("0123456789", *text);
}

/* Parses one rule, and splits @word at its '@'.  -EINVAL, logged. */
static int parse_rule(struct rule *rule, char *word)
{
	char *where = strrchr(word, '@');

	for (size_t i = 0; i < ARRAY_SIZE(rule_names); i++) {
		size_t len = strlen(rule_names[i]);
		bool has_value = rule_names[i][len - 1] == '=';
		char *value = word + len;

		if (strncmp(word, rule_names[i], len) != 0)
			continue;
		if (where)
			*where++ = '\0';
		rule->kind = (enum rule_kind)i;
		rule->file = value;
		if (!parse_where(rule, where))
			break;
		if (has_value ? *value && (rule->kind == RULE_WHILE ||
					   parse_number(value, &rule->number)) :
				!*value && where)
			return 0;
	}
	return log_fail(EINVAL, "fault injection: invalid rule \"%s\"", word);
}

static int parse_rules(struct source_inject *si, const char *spec)
{
	char *rest, *word;

	rest = si->spec = strdup(spec);
	if (!rest)
		return log_errno(ENOMEM, "fault injection");
	while ((word = strsep(&rest, ","))) {
		int r;

		if (si->rule_count == RULES_MAX)
			return log_fail(EINVAL,
					"fault injection: more than %d rules",
					RULES_MAX);
		r = parse_rule(&si->rules[si->rule_count++], word);
		if (r < 0)
			return r;
	}
	return 0;
}

int source_inject_create(struct page_source **out, struct page_source *inner,
			 const char *spec)
{
	struct source_inject *si = calloc(1, sizeof(*si));
	int r;

	if (!si) {
		page_source_destroy(inner);
		return log_errno(ENOMEM, "fault injection");
	}
	si->source = (struct page_source){ .ops = &inject_ops,
					   .runs = inner->runs,
					   .run_count = inner->run_count };
	si->inner = inner;
	r = parse_rules(si, spec);
	if (r < 0) {
		inject_destroy(&si->source);
		return r;
	}
	*out = &si->source;
	return 0;
}
