/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's memory. Formats are from the kernel documents
 * filesystems/proc.rst, admin-guide/mm/transhuge.rst and hugetlbpage.rst. One
 * thread.
 */
#include "vmm/mem/host.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/bytes.h"

#define SYS_MM "/sys/kernel/mm"

/* Reads a small file as a string; "" on error. */
static void read_text(const char *path, char *text, size_t room)
{
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(text, 1, room - 1, file) : 0;

	text[n] = '\0';
	if (file)
		fclose(file);
}

/* Reads a decimal number; 0 on error. */
static uint64_t read_number(const char *path)
{
	char text[32];

	read_text(path, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

/* Copies the bracketed word of "always [madvise] never". */
static void read_choice(const char *path, char *word, size_t room)
{
	char text[128];
	const char *start, *end;

	read_text(path, text, sizeof(text));
	start = strchr(text, '[');
	end = start ? strchr(start, ']') : NULL;
	*word = '\0';
	if (end && (size_t)(end - start) <= room) {
		memcpy(word, start + 1, (size_t)(end - start) - 1);
		word[end - start - 1] = '\0';
	}
}

/* The value of a line "MemAvailable: 123 kB" of /proc/meminfo, in bytes. */
static uint64_t meminfo_bytes(const char *text, const char *name)
{
	const char *line = strstr(text, name);

	return line ? strtoull(line + strlen(name), NULL, 10) * KIB : 0;
}

/* Adds the pool of a directory such as hugepages-2048kB, unless it is empty. */
static void add_pool(struct mem_host *host, const char *directory)
{
	struct mem_host_pool *pool = &host->pools[host->pool_count];
	static const char prefix[] = "hugepages-";
	char path[128];

	if (strncmp(directory, prefix, sizeof(prefix) - 1) != 0)
		return;
	pool->page_bytes =
		strtoull(directory + sizeof(prefix) - 1, NULL, 10) * KIB;
	snprintf(path, sizeof(path), SYS_MM "/hugepages/%.40s/nr_hugepages",
		 directory);
	pool->total_pages = read_number(path);
	snprintf(path, sizeof(path), SYS_MM "/hugepages/%.40s/free_hugepages",
		 directory);
	pool->free_pages = read_number(path);
	if (pool->total_pages > 0)
		host->pool_count++;
}

static void read_pools(struct mem_host *host)
{
	DIR *dir = opendir(SYS_MM "/hugepages");
	const struct dirent *entry;

	if (!dir)
		return;
	while (host->pool_count < MEM_HOST_POOLS_MAX &&
	       (entry = readdir(dir)) != NULL)
		add_pool(host, entry->d_name);
	closedir(dir);
}

uint64_t mem_host_hugetlb_bytes(void)
{
	char text[4096];

	read_text("/proc/meminfo", text, sizeof(text));
	return meminfo_bytes(text, "Hugepagesize:");
}

void mem_host_read(struct mem_host *host)
{
	char text[1024];

	*host = (struct mem_host){ .page_bytes =
					   (uint64_t)sysconf(_SC_PAGESIZE) };
	read_text("/proc/meminfo", text, sizeof(text));
	host->total_bytes = meminfo_bytes(text, "MemTotal:");
	host->available_bytes = meminfo_bytes(text, "MemAvailable:");
	read_choice(SYS_MM "/transparent_hugepage/enabled", host->thp,
		    sizeof(host->thp));
	read_choice(SYS_MM "/transparent_hugepage/shmem_enabled",
		    host->thp_shmem, sizeof(host->thp_shmem));
	read_pools(host);
}
