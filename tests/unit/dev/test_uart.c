/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registers of the serial port as drivers use them: probing, interrupts, and
 * hostile state.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/dev/uart.h"
#include "vmm/snap/section.h"

enum {
	RBR = 0,
	THR = 0,
	DLL = 0,
	IER = 1,
	DLM = 1,
	IIR = 2,
	FCR = 2,
	LCR = 3,
	MCR = 4,
	LSR = 5,
	MSR = 6,
	SCR = 7
};

static struct uart fresh(void)
{
	struct uart u;

	uart_reset(&u);
	return u;
}

/* Receives a whole string. */
static void receive(struct uart *u, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(uart_receive(u, (const uint8_t *)text, len), len);
}

static void after_reset(void **state)
{
	struct uart u = fresh();

	(void)state;
	assert_int_equal(uart_read(&u, IER), 0);
	assert_int_equal(uart_read(&u, IIR), 0x01);
	assert_int_equal(uart_read(&u, LCR), 0);
	assert_int_equal(uart_read(&u, MCR), 0);
	assert_int_equal(uart_read(&u, LSR), 0x60);
	assert_int_equal(uart_read(&u, MSR), 0xb0);
	assert_int_equal(uart_read(&u, RBR), 0);
	assert_false(uart_interrupts(&u));
}

static void divisor_is_behind_dlab(void **state)
{
	struct uart u = fresh();

	(void)state;
	uart_write(&u, IER, 0x05);
	uart_write(&u, LCR, 0x83);
	assert_false(uart_write(&u, DLL, 0x01));
	assert_false(uart_write(&u, DLM, 0x02));
	assert_int_equal(uart_read(&u, DLL), 0x01);
	assert_int_equal(uart_read(&u, DLM), 0x02);
	uart_write(&u, LCR, 0x03);
	assert_int_equal(uart_read(&u, IER), 0x05);
	assert_true(uart_write(&u, THR, 'x'));
	uart_write(&u, SCR, 0x5a);
	assert_int_equal(uart_read(&u, SCR), 0x5a);
}

/* The steps by which drivers identify a 16550A. */
static void probes_as_16550a(void **state)
{
	struct uart u = fresh();

	(void)state;
	/* Four interrupt enables, and no more bits than that. */
	uart_write(&u, IER, 0x00);
	assert_int_equal(uart_read(&u, IER), 0x00);
	uart_write(&u, IER, 0xff);
	assert_int_equal(uart_read(&u, IER), 0x0f);
	uart_write(&u, IER, 0x00);
	/* Loopback: OUT2 and RTS come back as DCD and CTS. */
	uart_write(&u, MCR, 0x10 | 0x08 | 0x02);
	assert_int_equal(uart_read(&u, MSR) & 0xf0, 0x90);
	uart_write(&u, MCR, 0x10 | 0x01 | 0x04);
	assert_int_equal(uart_read(&u, MSR) & 0xf0, 0x60);
	uart_write(&u, MCR, 0);
	assert_false(u.rts_seen);
	/* FIFOs are there, those of 64 bytes are not. */
	uart_write(&u, FCR, 0x01);
	assert_int_equal(uart_read(&u, IIR) >> 6, 3);
	uart_write(&u, FCR, 0x21);
	assert_int_equal(uart_read(&u, IIR) & 0x20, 0);
	uart_write(&u, LCR, 0x80);
	uart_write(&u, FCR, 0x21);
	assert_int_equal(uart_read(&u, IIR) & 0x20, 0);
	/* No extended register where others have one, with LCR of 0xbf. */
	uart_write(&u, LCR, 0xbf);
	assert_int_not_equal(uart_read(&u, IIR), 0);
	uart_write(&u, LCR, 0);
	uart_write(&u, FCR, 0);
	assert_int_equal(uart_read(&u, IIR) >> 6, 0);
}

/* Bytes sent in loopback are received until the FIFO is full. */
static void loopback_carries_bytes(void **state)
{
	struct uart u = fresh();

	(void)state;
	uart_write(&u, FCR, 0x01);
	uart_write(&u, MCR, 0x10);
	for (int i = 0; i < 16; i++)
		assert_false(uart_write(&u, THR, (uint8_t)(100 + i)));
	assert_int_equal(uart_read(&u, LSR), 0x61);
	assert_false(uart_write(&u, THR, 0));
	assert_int_equal(uart_read(&u, LSR), 0x63);
	assert_int_equal(uart_read(&u, LSR), 0x61);
	for (int i = 0; i < 16; i++)
		assert_int_equal(uart_read(&u, RBR), 100 + i);
	assert_int_equal(uart_read(&u, LSR), 0x60);
}

/* A driver enables the interrupt twice and expects it each time. */
static void thre_each_time_it_is_enabled(void **state)
{
	struct uart u = fresh();

	(void)state;
	for (int i = 0; i < 3; i++) {
		uart_write(&u, IER, 0x02);
		assert_true(uart_interrupts(&u));
		assert_int_equal(uart_read(&u, IIR) & 0x0f, 0x02);
		assert_false(uart_interrupts(&u));
		assert_int_equal(uart_read(&u, IIR) & 0x0f, 0x01);
		uart_write(&u, IER, 0x00);
	}
}

static void thre_after_a_byte(void **state)
{
	struct uart u = fresh();

	(void)state;
	uart_write(&u, IER, 0x02);
	uart_read(&u, IIR);
	assert_false(uart_interrupts(&u));
	assert_true(uart_write(&u, THR, 'a'));
	assert_true(uart_interrupts(&u));
	/* Written again while enabled: nothing new. */
	uart_read(&u, IIR);
	uart_write(&u, IER, 0x02);
	assert_false(uart_interrupts(&u));
}

/* A held transmitter is busy, and interrupts when it is released. */
static void held_transmitter(void **state)
{
	struct uart u = fresh();

	(void)state;
	uart_write(&u, IER, 0x02);
	uart_set_ready(&u, false);
	assert_int_equal(uart_read(&u, LSR), 0x00);
	assert_false(uart_interrupts(&u));
	assert_true(uart_write(&u, THR, 'a'));
	assert_false(uart_interrupts(&u));
	uart_write(&u, IER, 0x00);
	uart_write(&u, IER, 0x02);
	assert_false(uart_interrupts(&u));
	uart_set_ready(&u, true);
	assert_int_equal(uart_read(&u, LSR), 0x60);
	assert_true(uart_interrupts(&u));
}

static void receiver_interrupts(void **state)
{
	struct uart u = fresh();

	(void)state;
	uart_write(&u, FCR, 0x81); /* trigger at eight */
	uart_write(&u, IER, 0x01);
	receive(&u, "123456789");
	assert_true(uart_interrupts(&u));
	assert_int_equal(uart_read(&u, IIR), 0xc4);
	assert_int_equal(uart_read(&u, RBR), '1');
	assert_int_equal(uart_read(&u, IIR), 0xc4);
	assert_int_equal(uart_read(&u, RBR), '2');
	/* Below the level the rest is due by timeout. */
	assert_int_equal(uart_read(&u, IIR), 0xcc);
	for (int c = '3'; c <= '9'; c++)
		assert_int_equal(uart_read(&u, RBR), c);
	assert_int_equal(uart_read(&u, IIR), 0xc1);
	assert_false(uart_interrupts(&u));
}

/* IIR reports the highest priority first. */
static void priorities(void **state)
{
	struct uart u = fresh();

	(void)state;
	uart_write(&u, FCR, 0x01);
	uart_write(&u, MCR, 0x10);
	for (int i = 0; i < 17; i++)
		uart_write(&u, THR, 'x');
	uart_write(&u, MCR, 0x12); /* CTS changes */
	uart_write(&u, IER, 0x0f);
	assert_int_equal(uart_read(&u, IIR) & 0x0f, 0x06);
	uart_read(&u, LSR);
	assert_int_equal(uart_read(&u, IIR) & 0x0f, 0x04);
	uart_write(&u, FCR, 0x03);
	assert_int_equal(uart_read(&u, IIR) & 0x0f, 0x02);
	assert_int_equal(uart_read(&u, IIR) & 0x0f, 0x00);
	assert_int_not_equal(uart_read(&u, MSR) & 0x0f, 0);
	assert_int_equal(uart_read(&u, MSR) & 0x0f, 0);
	assert_int_equal(uart_read(&u, IIR) & 0x0f, 0x01);
	assert_false(uart_interrupts(&u));
}

static void fifo_of_one_when_disabled(void **state)
{
	struct uart u = fresh();

	(void)state;
	assert_int_equal(uart_receive(&u, (const uint8_t *)"abc", 3), 1);
	assert_int_equal(uart_receive(&u, (const uint8_t *)"bc", 2), 0);
	assert_int_equal(uart_read(&u, RBR), 'a');
	uart_write(&u, FCR, 0x01);
	receive(&u, "0123456789abcdef");
	/* Turning FIFOs off empties them; so does the clear bit. */
	uart_write(&u, FCR, 0x00);
	assert_int_equal(uart_read(&u, LSR), 0x60);
}

/* When the guest counts as reading input. */
static void who_listens(void **state)
{
	struct uart u = fresh();

	(void)state;
	assert_false(uart_listens(&u));
	/* A driver with interrupts and without RTS. */
	uart_write(&u, IER, 0x01);
	assert_true(uart_listens(&u));
	uart_write(&u, IER, 0x00);
	/* One that polls. */
	for (int i = 0; i < 100; i++)
		uart_read(&u, LSR);
	assert_true(uart_listens(&u));
	/* One that polls to write is not reading. */
	for (int i = 0; i < 100; i++) {
		uart_read(&u, LSR);
		uart_write(&u, THR, 'x');
	}
	assert_false(uart_listens(&u));
	/* RTS takes precedence, up and down. */
	uart_write(&u, MCR, 0x02);
	assert_true(uart_listens(&u));
	uart_write(&u, IER, 0x01);
	uart_write(&u, MCR, 0x00);
	assert_false(uart_listens(&u));
	uart_write(&u, MCR, 0x12);
	assert_false(uart_listens(&u));
}

static void saves_and_loads(void **state)
{
	struct uart u = fresh(), v;
	struct snap_writer out = { 0 };
	struct snap_reader in;

	(void)state;
	uart_write(&u, LCR, 0x83);
	uart_write(&u, DLL, 7);
	uart_write(&u, DLM, 9);
	uart_write(&u, LCR, 0x03);
	uart_write(&u, FCR, 0xc1);
	uart_write(&u, IER, 0x07);
	uart_write(&u, MCR, 0x0b);
	uart_write(&u, SCR, 0x77);
	receive(&u, "pending");
	uart_save(&u, &out);
	assert_int_equal(out.error, 0);

	in = (struct snap_reader){ .data = out.data, .len = out.len };
	memset(&v, 0xa5, sizeof(v));
	uart_load(&v, &in);
	assert_int_equal(snap_reader_error(&in), 0);
	for (unsigned int reg = 1; reg < UART_REGISTERS; reg++)
		assert_int_equal(uart_read(&u, reg), uart_read(&v, reg));
	for (int i = 0; i < 8; i++)
		assert_int_equal(uart_read(&u, RBR), uart_read(&v, RBR));
	assert_int_equal(uart_listens(&u), uart_listens(&v));
	snap_writer_finish(&out);
}

/* Loaded noise never makes the registers leave their arrays. */
static void hostile_state(void **state)
{
	uint8_t bytes[64];

	(void)state;
	srand(1);
	for (int round = 0; round < 20000; round++) {
		struct snap_reader in = { .data = bytes };
		struct uart u;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)rand();
		/* Half of them with a valid length. */
		if (round & 1)
			memcpy(bytes + 13, (uint8_t[4]){ bytes[13] % 20 }, 4);
		in.len = (size_t)rand() % sizeof(bytes);
		uart_load(&u, &in);
		assert_true(u.fifo_len <= UART_FIFO_BYTES);
		for (int i = 0; i < 40; i++) {
			uart_write(&u, (unsigned int)rand() % 8,
				   (uint8_t)rand());
			uart_read(&u, (unsigned int)rand() % 8);
		}
		assert_true(u.fifo_len <= UART_FIFO_BYTES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_reset),
		cmocka_unit_test(divisor_is_behind_dlab),
		cmocka_unit_test(probes_as_16550a),
		cmocka_unit_test(loopback_carries_bytes),
		cmocka_unit_test(thre_each_time_it_is_enabled),
		cmocka_unit_test(thre_after_a_byte),
		cmocka_unit_test(held_transmitter),
		cmocka_unit_test(receiver_interrupts),
		cmocka_unit_test(priorities),
		cmocka_unit_test(fifo_of_one_when_disabled),
		cmocka_unit_test(who_listens),
		cmocka_unit_test(saves_and_loads),
		cmocka_unit_test(hostile_state),
	};

	return cmocka_run_group_tests_name("dev-uart", tests, NULL, NULL);
}
