/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec-modules: which modules are taken from a tree, in which order, and what is
 * said of a tree that lacks or breaks one.
 */
#include <errno.h>

#include "tests/unit/exec/tree.h"
#include "vmm/exec/kernel.h"
#include "vmm/exec/modules.h"

#define R "lib/modules/6.1.0/"
#define BUILT                                   \
	"kernel/drivers/virtio/virtio_pci.ko\n" \
	"kernel/drivers/char/virtio-console.ko\n"

static int setup(void **state)
{
	static struct tree t;

	tree_begin(&t);
	*state = &t;
	return 0;
}

static int teardown(void **state)
{
	tree_end(*state);
	return 0;
}

/* Whether the guests of a test have a network. */
static bool network;

/* Opens the modules of the kernel "@t/@image" of release 6.1.0. */
static int open_with(const struct tree *t, const char *image, const char *dir,
		     struct module_set *set)
{
	char path[256];
	struct guest_kernel kernel = { .path = path, .release = "6.1.0" };
	const struct modules_config config = { .dir = dir,
					       .kernel = &kernel,
					       .network = network,
					       .prefix = t->dir };

	snprintf(path, sizeof(path), "%s/%s", t->dir, image);
	return modules_open(set, &config);
}

/* The names of the set, each with a space; a star is on compressed ones. */
static void check(const struct tree *t, const char *image, const char *want)
{
	struct module_set set;
	char got[1024] = "";

	assert_int_equal(open_with(t, image, NULL, &set), 0);
	for (unsigned int i = 0; i < set.count; i++) {
		strcat(got, set.list[i].file);
		strcat(got, set.list[i].compressed ? "* " : " ");
	}
	assert_string_equal(got, want);
	modules_close(&set);
	modules_close(&set);
}

static void refused(const struct tree *t, const char *dir, int err,
		    const char *words)
{
	struct module_set set;
	struct capture c;
	int got;

	capture_begin(&c);
	got = open_with(t, "vmlinuz", dir, &set);
	capture_one_line(&c, words);
	assert_int_equal(got, err);
	assert_int_equal(set.count, 0);
}

/* A module whose .modinfo has @info, strings with a zero each. */
static size_t make_module(uint8_t b[1024], const char *info, size_t len)
{
	static const char names[] = "\0.modinfo\0.shstrtab";
	uint8_t *section = b + 512;

	memset(b, 0, 1024);
	memcpy(b, "\177ELF\2\1\1", 7);
	put_le64(b + 0x28, 512);
	put_le16(b + 0x3a, 64);
	put_le16(b + 0x3c, 3);
	put_le16(b + 0x3e, 2);
	memcpy(b + 64, names, sizeof(names));
	memcpy(b + 128, info, len);
	put_le32(section + 64, 1);
	put_le64(section + 64 + 0x18, 128);
	put_le64(section + 64 + 0x20, len);
	put_le32(section + 128, 10);
	put_le64(section + 128 + 0x18, 64);
	put_le64(section + 128 + 0x20, sizeof(names));
	return 512 + 3 * 64;
}

static void put_module(const struct tree *t, const char *name, const char *deps)
{
	uint8_t b[1024];
	char info[256];
	int n = snprintf(info, sizeof(info), "license=GPL%cdepends=%s", 0,
			 deps);

	tree_put(t, name, b, make_module(b, info, (size_t)n + 1));
}

/* The needed modules without virtio_pci and virtio_console. */
static void put_tree(const struct tree *t, const char *suffix)
{
	char dep[512], name[128];
	static const char *const files[] = { "fs/fuse", "fs/virtiofs",
					     "fs/overlay" };

	snprintf(dep, sizeof(dep),
		 "kernel/fs/virtiofs.ko%s: kernel/fs/fuse.ko%s\n"
		 "kernel/fs/fuse.ko%s:\nkernel/fs/overlay.ko%s:\n",
		 suffix, suffix, suffix, suffix);
	tree_text(t, R "modules.dep", dep);
	tree_text(t, R "modules.builtin", BUILT);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(name, sizeof(name), R "kernel/%s.ko%s", files[i],
			 suffix);
		tree_text(t, name, "module");
	}
}

/* Dependencies first; what is built in is left out, whatever its dashes. */
static void test_order(void **state)
{
	struct tree *t = *state;

	put_tree(t, "");
	check(t, "vmlinuz", "fuse.ko virtiofs.ko overlay.ko ");
	tree_text(t, R "modules.dep",
		  "kernel/fs/virtiofs.ko: kernel/a.ko kernel/fs/fuse.ko\n"
		  "kernel/fs/fuse.ko: kernel/b-c.ko kernel/virtio_pci.ko\n"
		  "kernel/fs/overlay.ko: kernel/a.ko\n"
		  "kernel/a.ko: kernel/b-c.ko\nkernel/b-c.ko:\n");
	tree_text(t, R "kernel/a.ko", "module");
	tree_text(t, R "kernel/b-c.ko", "module");
	check(t, "vmlinuz", "b-c.ko a.ko fuse.ko virtiofs.ko overlay.ko ");
}

/* A guest with a network has its driver too. */
static void test_network(void **state)
{
	struct tree *t = *state;

	put_tree(t, "");
	tree_text(t, R "modules.dep",
		  "kernel/fs/virtiofs.ko:\nkernel/fs/overlay.ko:\n"
		  "kernel/net/virtio_net.ko: kernel/net/net_failover.ko\n"
		  "kernel/net/net_failover.ko:\n");
	tree_text(t, R "kernel/net/virtio_net.ko", "module");
	tree_text(t, R "kernel/net/net_failover.ko", "module");
	check(t, "vmlinuz", "virtiofs.ko overlay.ko ");
	network = true;
	check(t, "vmlinuz",
	      "virtiofs.ko overlay.ko net_failover.ko virtio_net.ko ");
	tree_text(t, R "modules.dep",
		  "kernel/fs/virtiofs.ko:\nkernel/fs/overlay.ko:\n");
	refused(t, NULL, -ENOENT, "virtio_net (CONFIG_VIRTIO_NET) is neither");
	network = false;
}

static void test_builtin(void **state)
{
	struct tree *t = *state;

	tree_text(t, R "modules.builtin",
		  BUILT "kernel/fs/virtiofs.ko\nkernel/overlay.ko");
	check(t, "vmlinuz", "");
	/* Without a tree too: all must be built in. */
	check(t, "elsewhere/vmlinuz", "");
}

static void test_contents(void **state)
{
	struct tree *t = *state;
	struct module_set set;
	char b[16];

	put_tree(t, "");
	tree_text(t, R "kernel/fs/fuse.ko", "contents");
	assert_int_equal(open_with(t, "vmlinuz", NULL, &set), 0);
	assert_int_equal(set.list[0].size_bytes, 8);
	assert_int_equal(pread(set.list[0].fd, b, sizeof(b), 0), 8);
	assert_memory_equal(b, "contents", 8);
	assert_non_null(strstr(set.dir, "/lib/modules/6.1.0"));
	modules_close(&set);
}

/* Compressed modules are for kernels that decompress this format. */
static void test_compressed(void **state)
{
	struct tree *t = *state;

	put_tree(t, ".xz");
	tree_text(t, "boot/config-6.1.0",
		  "CONFIG_A=y\nCONFIG_MODULE_COMPRESS_XZ=y\n"
		  "CONFIG_MODULE_DECOMPRESS=y\n");
	check(t, "vmlinuz", "fuse.ko.xz* virtiofs.ko.xz* overlay.ko.xz* ");
	tree_text(t, "boot/config-6.1.0",
		  "CONFIG_A=y\nCONFIG_MODULE_COMPRESS_ZSTD=y\n"
		  "CONFIG_MODULE_DECOMPRESS=y\n");
	/* Not xz, or not in this build: the file is named. */
	tree_text(t, R "kernel/fs/virtiofs.ko.xz", "this is no file of xz");
	refused(t, NULL,
#ifdef THAW_LZMA
		-EINVAL,
#else
		-ENOEXEC,
#endif
		"fs/virtiofs.ko.xz: ");
}

/* The host decompresses for a kernel that does not. */
static void test_decompressed(void **state)
{
	struct tree *t = *state;
	struct module_set set;
	char command[256], b[16];

#ifndef THAW_LZMA
	skip();
#endif
	if (system("command -v xz >/dev/null") != 0)
		skip();
	put_tree(t, "");
	snprintf(command, sizeof(command), "xz -q %s/" R "kernel/fs/*.ko",
		 t->dir);
	assert_int_equal(system(command), 0);
	tree_text(t, R "modules.dep",
		  "kernel/fs/virtiofs.ko.xz: kernel/fs/fuse.ko.xz\n"
		  "kernel/fs/fuse.ko.xz:\nkernel/fs/overlay.ko.xz:\n");
	check(t, "vmlinuz", "fuse.ko virtiofs.ko overlay.ko ");
	assert_int_equal(open_with(t, "vmlinuz", NULL, &set), 0);
	assert_int_equal(set.list[0].size_bytes, 6);
	assert_int_equal(pread(set.list[0].fd, b, sizeof(b), 0), 6);
	assert_memory_equal(b, "module", 6);
	modules_close(&set);
}

/* A build tree has no modules.dep; modules.order may name object files. */
static void test_build_tree(void **state)
{
	struct tree *t = *state;

	tree_text(t, "arch/x86/boot/bzImage", "kernel");
	tree_text(t, "modules.builtin", BUILT);
	tree_text(t, "modules.order",
		  "fs/fuse/fuse.o\nfs/fuse/virtiofs.o\nkernel/overlay.ko\n");
	put_module(t, "fs/fuse/fuse.ko", "");
	put_module(t, "fs/fuse/virtiofs.ko", "fuse,virtio-pci");
	put_module(t, "overlay.ko", "fuse");
	check(t, "arch/x86/boot/bzImage", "fuse.ko virtiofs.ko overlay.ko ");
	tree_text(t, "vmlinux", "kernel");
	check(t, "vmlinux", "fuse.ko virtiofs.ko overlay.ko ");
}

/* --modules: a tree, or the directory above lib/modules. */
static void test_named(void **state)
{
	struct tree *t = *state;
	struct module_set set;
	char dir[128];

	put_tree(t, "");
	assert_int_equal(open_with(t, "k", t->dir, &set), 0);
	assert_int_equal(set.count, 3);
	modules_close(&set);
	snprintf(dir, sizeof(dir), "%s/" R, t->dir);
	assert_int_equal(open_with(t, "k", dir, &set), 0);
	assert_int_equal(set.count, 3);
	modules_close(&set);
	snprintf(dir, sizeof(dir), "%s/boot", t->dir);
	refused(t, dir, -ENOENT, "no modules.dep");
}

static void test_missing(void **state)
{
	struct tree *t = *state;
	char path[128];

	put_tree(t, "");
	tree_text(t, R "modules.builtin", "");
	refused(t, NULL, -ENOENT, "module virtio_pci (CONFIG_VIRTIO_PCI)");
	put_tree(t, "");
	tree_text(t, R "modules.dep",
		  "kernel/fs/virtiofs.ko: kernel/gone.ko\n");
	refused(t, NULL, -ENOENT, "module gone (virtiofs)");
	put_tree(t, "");
	snprintf(path, sizeof(path), "%s/" R "kernel/fs/fuse.ko", t->dir);
	assert_int_equal(unlink(path), 0);
	refused(t, NULL, -ENOENT, "kernel/fs/fuse.ko: No such file");
	assert_int_equal(mkdir(path, 0755), 0);
	refused(t, NULL, -EISDIR, "kernel/fs/fuse.ko: is a directory");
	rmdir(path);
	tree_text(t, R "kernel/fs/fuse.ko", "");
	refused(t, NULL, -EINVAL, "kernel/fs/fuse.ko: empty file");
}

static void test_cycle(void **state)
{
	struct tree *t = *state;

	put_tree(t, "");
	tree_text(t, R "modules.dep",
		  "kernel/fs/virtiofs.ko: kernel/fs/fuse.ko\n"
		  "kernel/fs/fuse.ko: kernel/fs/overlay.ko\n"
		  "kernel/fs/overlay.ko: kernel/fs/virtiofs.ko\n");
	refused(t, NULL, -ELOOP, "virtiofs and overlay");
	tree_text(t, R "modules.dep",
		  "kernel/fs/virtiofs.ko: kernel/fs/virtiofs.ko\n");
	refused(t, NULL, -ELOOP, "virtiofs and virtiofs");
}

/* A chain of more modules than a set holds. */
static void test_many(void **state)
{
	struct tree *t = *state;
	char dep[8192] = "v/virtiofs.ko: m0.ko\n", line[64];

	for (int i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "m%d.ko: m%d.ko\n", i, i + 1);
		strcat(dep, line);
		snprintf(line, sizeof(line), R "m%d.ko", i);
		tree_text(t, line, "module");
	}
	tree_text(t, R "v/virtiofs.ko", "module");
	tree_text(t, R "modules.dep", dep);
	tree_text(t, R "modules.builtin", BUILT);
	refused(t, NULL, -E2BIG, "more than 64 modules");
}

/* Over-long lines and names, binary data. */
static void test_hostile_index(void **state)
{
	struct tree *t = *state;
	size_t len = 100000;
	char *text = malloc(len + 1);

	assert_non_null(text);
	put_tree(t, "");
	memset(text, 'a', len);
	text[len] = '\0';
	memcpy(text, "kernel/fs/virtiofs.ko: ", 23);
	tree_text(t, R "modules.dep", text);
	refused(t, NULL, -EINVAL, "virtiofs depends on \"aaaa");
	memset(text, 'a', len);
	memcpy(text + len - 12, "/virtiofs.ko", 12);
	tree_text(t, R "modules.dep", text);
	refused(t, NULL, -ENAMETOOLONG, "open module");
	memset(text, '\xff', len);
	tree_text(t, R "modules.dep", text);
	refused(t, NULL, -ENOENT, "module virtiofs");
	tree_text(t, R "modules.dep",
		  "kernel/fs/virtiofs.ko: ../../..\nkernel/fs/fuse.ko:\n");
	refused(t, NULL, -ENOENT, "module .. ");
	free(text);
}

/* Every truncation and every damaged byte of a module: an error with its name,
 * or the same modules. */
static void test_hostile_module(void **state)
{
	struct tree *t = *state;
	struct module_set set;
	struct capture c;
	uint8_t b[1024];
	size_t len;

	tree_text(t, R "modules.order", "virtiofs.ko\noverlay.ko\nfuse.ko\n");
	tree_text(t, R "modules.builtin", BUILT);
	put_module(t, R "overlay.ko", "");
	put_module(t, R "fuse.ko", "");
	len = make_module(b, "a=b\0depends=fuse", 17);
	for (size_t n = 1; n < len; n++) {
		tree_put(t, R "virtiofs.ko", b, n);
		capture_begin(&c);
		assert_true(open_with(t, "k", NULL, &set) < 0);
		capture_one_line(&c, "virtiofs.ko: ");
	}
	for (size_t i = 0; i < len; i++) {
		b[i] ^= 0xff;
		tree_put(t, R "virtiofs.ko", b, len);
		b[i] ^= 0xff;
		capture_begin(&c);
		if (open_with(t, "k", NULL, &set) < 0) {
			capture_one_line(&c, "virtiofs");
		} else {
			assert_int_equal(capture_end(&c), 0);
			modules_close(&set);
		}
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_order),	   CASE(test_network),
		CASE(test_builtin),	   CASE(test_contents),
		CASE(test_compressed),	   CASE(test_decompressed),
		CASE(test_build_tree),	   CASE(test_named),
		CASE(test_missing),	   CASE(test_cycle),
		CASE(test_many),	   CASE(test_hostile_index),
		CASE(test_hostile_module),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
