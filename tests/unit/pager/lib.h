/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the pager's tests share: a small guest memory without KVM, and a source
 * whose every page can be checked.
 */
#ifndef TESTS_UNIT_PAGER_LIB_H
#define TESTS_UNIT_PAGER_LIB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/mem/memory.h"
#include "vmm/pager/pager.h"
#include "vmm/pager/source.h"

#define TEST_BASE UINT64_C(0x40000000)

/* Makes anonymous memory of two regions with a hole between them. */
void test_memory(struct memory *memory, uint64_t pages);
/* The same with granules of so many pages; 0: as the host has them. */
void test_memory_granules(struct memory *memory, uint64_t pages,
			  uint32_t granule_pages);

/*
 * The same of a file with the pages of @source, which is mapped; @source NULL:
 * anonymous memory.
 */
void test_memory_from(struct memory *memory, uint64_t pages,
		      uint32_t granule_pages, int fd,
		      const struct page_source *source);

/* The number that word @word of page @page holds. */
uint64_t test_word(uint64_t page, unsigned int word);

/* Whether @data is that page; says on standard error what is wrong. */
bool test_page_is(const void *data, uint64_t page);

/*
 * A source of every page but those whose number is 3 modulo 4 in steps of 16
 * (so that runs are 48 pages long); counts its reads.
 */
struct page_source *test_source(uint64_t pages);
/* The same without holes. */
struct page_source *test_source_whole(uint64_t pages);
/* An unnamed file with the pages of such a source, to be closed. */
int test_source_file(uint64_t pages);
/* Whether that source holds the page. */
bool test_source_has(uint64_t page);
/* How often pages were read from it, and the largest number read of one. */
uint64_t test_source_reads(const struct page_source *source);
unsigned int test_source_most(const struct page_source *source);

/* Whether KVM would let a vCPU pass to a page. */
bool test_may_pass(const struct memory *memory, uint64_t page);

/* Whether a page of RAM is not PRESENT. */
bool test_is_absent(const struct pager *pager, uint64_t page);

/* The guest address of a page of RAM. */
gpa_t test_gpa(const struct memory *memory, uint64_t page);

/*
 * A vCPU's access: passes the bitmap as KVM would, of which an exit tells the
 * granule, then gives the page's address; NULL when the pager says to stop.
 */
const void *test_vcpu_access(struct memory *memory, struct pager *pager,
			     unsigned int vcpu, uint64_t page);

/* Memory, a source, and a pager over both, which counts its failures. */
struct fixture {
	struct memory memory;
	struct page_source *source; /* the inner one */
	struct pager *pager;
	atomic_uint failures;
};

/*
 * Makes it of a source that becomes the pager's, with @inject around it (NULL:
 * nothing); of @config what a test wants to say.
 */
void fixture_open(struct fixture *f, struct pager_config config,
		  const char *inject, struct page_source *source,
		  uint64_t pages);
/* The same with granules of so many pages. */
void fixture_open_granules(struct fixture *f, struct pager_config config,
			   const char *inject, struct page_source *source,
			   uint64_t pages, uint32_t granule_pages);
void fixture_close(struct fixture *f);

/* Whether userfaultfd(2) works on this host. */
bool test_has_uffd(void);

#endif
