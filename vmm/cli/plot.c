/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `thaw plot FILE`: draws a fault trace as a self-contained SVG 1.1 on standard
 * output.  At the top the faults by guest address and time: a mark is as wide as
 * the stall and as tall as the pages filled.  Below, the populated memory over
 * time, and a histogram of fault latencies.  Main thread.
 */
#include "vmm/cli/plot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/base/bytes.h"
#include "vmm/base/log.h"
#include "vmm/base/option.h"
#include "vmm/cli/exit.h"
#include "vmm/cli/trace.h"

/* Geometry, in units of the viewBox. */
#define WIDTH	    1000
#define HEIGHT	    760
#define LEFT	    110
#define RIGHT	    970
#define MAP_TOP	    70
#define MAP_BOTTOM  470
#define SUM_TOP	    510
#define SUM_BOTTOM  600
#define BARS_TOP    650
#define BARS_BOTTOM 720

static const char *const cause_colours[PAGER_CAUSES] = {
	[PAGER_CAUSE_VCPU] = "#1f6feb",
	[PAGER_CAUSE_UFFD] = "#d1742f",
	[PAGER_CAUSE_DEVICE] = "#2f9e44",
	[PAGER_CAUSE_BACKGROUND] = "#9a9a9a",
};

static const char *const cause_titles[PAGER_CAUSES] = {
	[PAGER_CAUSE_VCPU] = "vCPU, userfault exit",
	[PAGER_CAUSE_UFFD] = "userfaultfd",
	[PAGER_CAUSE_DEVICE] = "device",
	[PAGER_CAUSE_BACKGROUND] = "background fill",
};

/* The range of the axes, from 0 in time. */
struct span {
	double time_us;
	uint64_t gpa_low, gpa_high;
};

static struct span find_span(const struct trace *trace)
{
	struct span span = { .gpa_low = UINT64_MAX };

	for (size_t i = 0; i < trace->count; i++) {
		const struct trace_fault *f = &trace->faults[i];

		if (f->time_us > span.time_us)
			span.time_us = f->time_us;
		span.gpa_low = min_u64(span.gpa_low, f->gpa);
		span.gpa_high =
			max_u64(span.gpa_high, f->gpa + f->pages * PAGE_BYTES);
	}
	if (span.time_us <= 0)
		span.time_us = 1;
	if (span.gpa_high <= span.gpa_low)
		span.gpa_high = span.gpa_low + PAGE_BYTES;
	return span;
}

static double x_of(const struct span *span, double time_us)
{
	return LEFT + (RIGHT - LEFT) * time_us / span->time_us;
}

/* Low addresses are at the bottom. */
static double y_of(const struct span *span, uint64_t gpa)
{
	double part = (double)(gpa - span->gpa_low) /
		      (double)(span->gpa_high - span->gpa_low);

	return MAP_BOTTOM - (MAP_BOTTOM - MAP_TOP) * part;
}

static void text(double x, double y, const char *anchor, const char *line)
{
	printf("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x,
	       y, anchor, line);
}

static void panel(int top, int bottom, const char *title)
{
	printf("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
	       "class=\"frame\"/>\n",
	       LEFT, top, RIGHT - LEFT, bottom - top);
	text(LEFT, top - 6, "start", title);
}

/* Labels of the time axis, below @bottom. */
static void time_axis(const struct span *span, int bottom)
{
	for (int i = 0; i <= 4; i++) {
		char words[40];

		snprintf(words, sizeof(words), "%.4g ms",
			 span->time_us * i / 4 / 1000);
		text(x_of(span, span->time_us * i / 4), bottom + 16, "middle",
		     words);
	}
}

static void address_axis(const struct span *span)
{
	for (unsigned int i = 0; i <= 4; i++) {
		uint64_t gpa = span->gpa_low +
			       (span->gpa_high - span->gpa_low) / 4 * i;
		char words[40];

		snprintf(words, sizeof(words), "0x%" PRIx64, gpa);
		text(LEFT - 8, y_of(span, gpa) + 4, "end", words);
	}
}

/* The mark of one fault; its <title> is a tooltip. */
static void mark(const struct span *span, const struct trace_fault *f)
{
	double end = x_of(span, f->time_us);
	double begin =
		x_of(span,
		     f->stall_us < f->time_us ? f->time_us - f->stall_us : 0);
	double top = y_of(span, f->gpa + f->pages * PAGE_BYTES);
	double height = y_of(span, f->gpa) - top;
	char who[24] = "";

	if (f->vcpu >= 0)
		snprintf(who, sizeof(who), "vCPU %d, ", f->vcpu);
	printf("<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" "
	       "fill=\"%s\"><title>%s0x%" PRIx64
	       ", %u pages, %.1f us, at %.1f us</title></rect>\n",
	       begin, height < 1.5 ? top - 0.75 : top,
	       end - begin < 1.5 ? 1.5 : end - begin,
	       height < 1.5 ? 1.5 : height, cause_colours[f->cause], who,
	       f->gpa, f->pages, f->stall_us, f->time_us);
}

static void draw_map(const struct trace *trace, const struct span *span)
{
	panel(MAP_TOP, MAP_BOTTOM, "Faults by guest address and time");
	address_axis(span);
	time_axis(span, MAP_BOTTOM);
	for (size_t i = 0; i < trace->count; i++)
		mark(span, &trace->faults[i]);
}

static int compare_times(const void *a, const void *b)
{
	double x = ((const struct trace_fault *)a)->time_us;
	double y = ((const struct trace_fault *)b)->time_us;

	return (x > y) - (x < y);
}

/* Populated memory over time; sorts the trace. */
static void draw_sum(struct trace *trace, const struct span *span)
{
	uint64_t total = 0, pages = 0;
	char words[80];

	qsort(trace->faults, trace->count, sizeof(trace->faults[0]),
	      compare_times);
	for (size_t i = 0; i < trace->count; i++)
		total += trace->faults[i].pages;
	snprintf(words, sizeof(words), "Populated memory: %.1f MiB",
		 (double)(total * PAGE_BYTES) / (double)MIB);
	panel(SUM_TOP, SUM_BOTTOM, words);
	printf("<polyline class=\"sum\" points=\"%d,%d", LEFT, SUM_BOTTOM);
	for (size_t i = 0; i < trace->count; i++) {
		double x = x_of(span, trace->faults[i].time_us);
		double before = (double)pages / (double)total;

		pages += trace->faults[i].pages;
		printf(" %.1f,%.1f %.1f,%.1f", x,
		       SUM_BOTTOM - (SUM_BOTTOM - SUM_TOP) * before, x,
		       SUM_BOTTOM - (SUM_BOTTOM - SUM_TOP) * (double)pages /
					    (double)total);
	}
	printf("\"/>\n");
}

/* A histogram with a bar for each power of two. */
static void draw_bars(const struct trace *trace)
{
	size_t counts[PAGER_BUCKETS] = { 0 }, most = 1;
	double step = (double)(RIGHT - LEFT) / PAGER_BUCKETS;

	for (size_t i = 0; i < trace->count; i++) {
		unsigned int n = 0;

		if (trace->faults[i].cause == PAGER_CAUSE_BACKGROUND)
			continue;
		while (n < PAGER_BUCKETS - 1 &&
		       trace->faults[i].stall_us >= (double)(1U << n))
			n++;
		if (++counts[n] > most)
			most = counts[n];
	}
	panel(BARS_TOP, BARS_BOTTOM, "Fault latency");
	for (unsigned int n = 0; n < PAGER_BUCKETS; n++) {
		double height = (double)(BARS_BOTTOM - BARS_TOP - 12) *
				(double)counts[n] / (double)most;
		char words[40];

		if (counts[n]) {
			printf("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
			       "height=\"%.1f\" fill=\"#6e7781\"/>\n",
			       LEFT + step * n + 1, BARS_BOTTOM - height,
			       step - 2, height);
			snprintf(words, sizeof(words), "%zu", counts[n]);
			text(LEFT + step * (n + 0.5), BARS_BOTTOM - height - 2,
			     "middle", words);
		}
		snprintf(words, sizeof(words), n < 10 ? "%.0f us" : "%.0f ms",
			 n < 10 ? (double)(1U << n) : (double)(1U << n) / 1000);
		if (n % 3 == 0)
			text(LEFT + step * (n + 1), BARS_BOTTOM + 16, "middle",
			     words);
	}
}

static void draw_legend(const struct trace *trace)
{
	size_t counts[PAGER_CAUSES] = { 0 };
	double x = LEFT;

	for (size_t i = 0; i < trace->count; i++)
		counts[trace->faults[i].cause]++;
	for (unsigned int i = 0; i < PAGER_CAUSES; i++) {
		char words[80];

		if (!counts[i])
			continue;
		printf("<rect x=\"%.1f\" y=\"34\" width=\"10\" height=\"10\" "
		       "fill=\"%s\"/>\n",
		       x, cause_colours[i]);
		snprintf(words, sizeof(words), "%s: %zu", cause_titles[i],
			 counts[i]);
		text(x + 15, 43, "start", words);
		x += 215;
	}
}

static void draw(struct trace *trace)
{
	struct span span = find_span(trace);

	printf("<svg xmlns=\"http://www.w3.org/2000/svg\" "
	       "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
	       "font-size=\"12\">\n"
	       "<style>.frame{fill:#fafbfc;stroke:#d0d7de}"
	       ".sum{fill:none;stroke:#1f6feb;stroke-width:1.5}"
	       "text{fill:#24292f}</style>\n"
	       "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
	       WIDTH, HEIGHT, WIDTH, HEIGHT);
	printf("<text x=\"%d\" y=\"22\" font-size=\"16\">%zu faults in "
	       "%.4g ms</text>\n",
	       LEFT, trace->count, span.time_us / 1000);
	draw_legend(trace);
	draw_map(trace, &span);
	draw_sum(trace, &span);
	draw_bars(trace);
	printf("</svg>\n");
}

static const struct option_spec spec = {
	.command = "thaw plot",
	.operands = "FILE",
	.about = "Draw the fault trace in FILE (-: standard input) as an SVG "
		 "on standard output.\nSee --fault-trace of thaw run and thaw "
		 "restore.",
	.operands_min = 1,
	.operands_max = 1,
};

int plot_main(int argc, char **argv)
{
	struct option_operands operands;
	int status;
	struct trace trace;

	status = exit_after_options(
		option_parse(&spec, argc, argv, NULL, &operands));
	if (status >= 0)
		return status;
	if (trace_read(&trace, operands.values[0]) < 0)
		return EXIT_HOST;
	draw(&trace);
	trace_finish(&trace);
	return EXIT_DONE;
}
