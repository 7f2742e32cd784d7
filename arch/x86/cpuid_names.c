/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of CPUID features.
 *
 * Constant tables.  Names as in /proc/cpuinfo; bits from the Intel SDM volume
 * 2A (CPUID), the AMD APM volume 3 (appendix E), and for the KVM leaf
 * Documentation/virt/kvm/x86/cpuid.rst.  A bit without a name is written as its
 * leaf, register and bit number.
 */
#include <inttypes.h>
#include <string.h>

#include "arch/x86/cpuid.h"
#include "vmm/base/bytes.h"
#include "vmm/kvm/kvm.h"

enum reg { EAX, EBX, ECX, EDX };

/*
 * The features in one register.  @ignore: bits that are not features, or that
 * change while the guest runs (OSXSAVE, OSPKE).
 */
struct feature_word {
	uint32_t function, index;
	enum reg reg;
	uint32_t ignore;
	const char *names; /* 32 words, separated by blanks; "-": no name */
};

static const struct feature_word words[] = {
	{ 1, 0, ECX, UINT32_C(1) << 27 | UINT32_C(1) << 31,
	  "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg "
	  "fma cx16 xtpr pdcm - pcid dca sse4_1 sse4_2 x2apic movbe popcnt "
	  "tsc_deadline_timer aes xsave osxsave avx f16c rdrand hypervisor" },
	{ 1, 0, EDX, UINT32_C(1) << 28,
	  "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat "
	  "pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe" },
	{ 7, 0, EBX, 0,
	  "fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 "
	  "erms invpcid rtm cqm zero_fcs_fds mpx rdt_a avx512f avx512dq "
	  "rdseed adx smap avx512ifma pcommit clflushopt clwb intel_pt "
	  "avx512pf avx512er avx512cd sha_ni avx512bw avx512vl" },
	{ 7, 0, ECX, UINT32_C(1) << 4,
	  "prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk "
	  "gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme avx512_vpopcntdq "
	  "- la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri "
	  "movdir64b enqcmd sgx_lc pks" },
	{ 7, 0, EDX, 0,
	  "- - avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect "
	  "srbds_ctrl md_clear - - - serialize hybrid tsxldtrk - pconfig "
	  "arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl "
	  "intel_stibp flush_l1d arch_capabilities core_capabilities ssbd" },
	{ 7, 1, EAX, 0,
	  "sha512 sm3 sm4 - avx_vnni avx512_bf16 - cmpccxadd - - fzrm fsrs "
	  "fsrc - - - - fred lkgs wrmsrns - amx_fp16 - avx_ifma - - lam - - - "
	  "- -" },
	{ 0xd, 0, EAX, 0,
	  "xstate_x87 xstate_sse xstate_avx xstate_bndregs xstate_bndcsr "
	  "xstate_opmask xstate_zmm_hi256 xstate_hi16_zmm xstate_pt "
	  "xstate_pkru - - - - - - - xstate_tilecfg xstate_tiledata - - - - - "
	  "- - - - - - - -" },
	{ 0xd, 1, EAX, 0,
	  "xsaveopt xsavec xgetbv1 xsaves xfd - - - - - - - - - - - - - - - - "
	  "- - - - - - - - - - -" },
	{ 0x40000001, 0, EAX, 0,
	  "kvm_clocksource kvm_nopiodelay - kvm_clocksource2 kvm_async_pf "
	  "kvm_steal_time kvm_pv_eoi kvm_pv_unhalt - kvm_pv_tlb_flush "
	  "kvm_async_pf_vmexit kvm_pv_send_ipi kvm_poll_control "
	  "kvm_pv_sched_yield kvm_async_pf_int kvm_msi_ext_dest_id "
	  "kvm_hc_map_gpa_range kvm_migration_control - - - - - - "
	  "kvm_clocksource_stable - - - - - - -" },
	{ 0x80000001, 0, ECX, UINT32_C(1) << 1,
	  "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse "
	  "3dnowprefetch osvw ibs xop skinit wdt - lwp fma4 tce - nodeid_msr - "
	  "tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx "
	  "addr_mask_ext -" },
	{ 0x80000001, 0, EDX, 0,
	  "fpu vme de pse tsc msr pae mce cx8 apic - syscall mtrr pge mca cmov "
	  "pat pse36 - mp nx - mmxext mmx fxsr fxsr_opt pdpe1gb rdtscp - lm "
	  "3dnowext 3dnow" },
	{ 0x80000007, 0, EDX, 0,
	  "- - - - - - - - invariant_tsc - - - - - - - - - - - - - - - - - - - "
	  "- - - -" },
	{ 0x80000008, 0, EBX, 0,
	  "clzero irperf xsaveerptr invlpgb rdpru - mbe - mcommit wbnoinvd - - "
	  "ibpb int_wbinvd ibrs stibp ibrs_always stibp_always_on "
	  "ibrs_preferred ibrs_same_mode efer_lmsle_dis invlpgb_nested - "
	  "amd_ppin amd_ssbd virt_ssbd amd_ssb_no cppc psfd btc_no ibpb_ret -" },
	{ 0x80000021, 0, EAX, 0,
	  "no_nested_data_bp - lfence_rdtsc - - - null_sel_clr_base - autoibrs "
	  "no_smm_ctl_msr - - - prefetch_ctl_msr - - - - - - - - - - - - - - - "
	  "- - -" },
};

static uint32_t reg_of(const struct kvm_cpuid_entry2 *e, enum reg reg)
{
	const uint32_t all[] = { e->eax, e->ebx, e->ecx, e->edx };

	return all[reg];
}

static void put_name(FILE *to, const struct feature_word *word,
		     unsigned int bit)
{
	static const char *const regs[] = { "eax", "ebx", "ecx", "edx" };
	const char *p = word->names;
	size_t len;

	for (unsigned int i = 0; i < bit && *p; i++) {
		p += strcspn(p, " ");
		p += strspn(p, " ");
	}
	len = strcspn(p, " ");
	if (len && *p != '-')
		fprintf(to, "%.*s", (int)len, p);
	else
		fprintf(to, "cpuid_%" PRIx32 "_%s_bit_%u", word->function,
			regs[word->reg], bit);
}

/*
 * Bits of 0x80000001 EDX that AMD processors repeat from leaf 1 (AMD APM volume
 * 3, E.4.2).
 */
#define REPEATED_BITS UINT32_C(0x0183f3ff)

void cpuid_features(const struct kvm_cpuid2 *cpuid, FILE *to)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct feature_word *w = &words[i];
		const struct kvm_cpuid_entry2 *e =
			cpuid_find(cpuid, w->function, w->index);
		uint32_t has = e ? reg_of(e, w->reg) & ~w->ignore : 0;

		if (w->function == 0x80000001 && w->reg == EDX)
			has &= ~REPEATED_BITS;
		for (unsigned int bit = 0; bit < 32; bit++)
			if (has >> bit & 1) {
				put_name(to, w, bit);
				fputc('\n', to);
			}
	}
}

unsigned int cpuid_missing(const struct kvm_cpuid2 *want,
			   const struct kvm_cpuid2 *have, FILE *to)
{
	unsigned int count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct feature_word *w = &words[i];
		const struct kvm_cpuid_entry2 *a =
			cpuid_find(want, w->function, w->index);
		const struct kvm_cpuid_entry2 *b =
			cpuid_find(have, w->function, w->index);
		uint32_t lack = (a ? reg_of(a, w->reg) : 0) &
				~(b ? reg_of(b, w->reg) : 0) & ~w->ignore;

		for (unsigned int bit = 0; bit < 32; bit++)
			if (lack >> bit & 1) {
				if (count++)
					fputc(' ', to);
				put_name(to, w, bit);
			}
	}
	return count;
}

/*
 * Stores the registers of @e as text, in the order of @regs; returns its
 * length, 0 if @e is NULL.
 */
static size_t put_bytes(const struct kvm_cpuid_entry2 *e, const enum reg *regs,
			size_t count, char *to)
{
	for (size_t i = 0; e && i < count; i++)
		put_le32((uint8_t *)to + 4 * i, reg_of(e, regs[i]));
	return e ? 4 * count : 0;
}

void cpuid_model(const struct kvm_cpuid2 *cpuid, char *buf, size_t room)
{
	static const enum reg maker_regs[] = { EBX, EDX, ECX };
	static const enum reg brand_regs[] = { EAX, EBX, ECX, EDX };
	const struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 1, 0);
	uint32_t v = e ? e->eax : 0;
	uint32_t family = v >> 8 & 0xf, model = v >> 4 & 0xf;
	char maker[12 + 1] = "", brand[48 + 1] = "";
	const char *name = brand;
	size_t at = 0;

	/* Intel SDM volume 2A, CPUID, "version information". */
	if (family == 6 || family == 15)
		model += (v >> 16 & 0xf) << 4;
	if (family == 15)
		family += v >> 20 & 0xff;
	put_bytes(cpuid_find(cpuid, 0, 0), maker_regs, ARRAY_SIZE(maker_regs),
		  maker);
	for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++)
		at += put_bytes(cpuid_find(cpuid, leaf, 0), brand_regs,
				ARRAY_SIZE(brand_regs), brand + at);
	name += strspn(name, " ");
	snprintf(buf, room,
		 "%s family %" PRIu32 " model %" PRIu32 " stepping %" PRIu32
		 "%s%s",
		 maker, family, model, v & 0xf, *name ? ", " : "", name);
}
