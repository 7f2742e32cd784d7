/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads that race on purpose, for the thread sanitizer: between these two calls the
 * reads of the calling thread are not checked.  Nothing in other builds.
 */
#ifndef VMM_BASE_RACY_H
#define VMM_BASE_RACY_H

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACY_CHECKED 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define RACY_CHECKED 1
#endif

#ifdef RACY_CHECKED

/* In the sanitizer's library; the place is for its reports. */
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);

static inline void racy_reads_begin(void)
{
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
}

static inline void racy_reads_end(void)
{
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

#else

static inline void racy_reads_begin(void)
{
}

static inline void racy_reads_end(void)
{
}

#endif

#endif
