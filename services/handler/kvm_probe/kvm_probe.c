/* Tests whether KVM runs guests on this node: runs a guest of a few bytes that counts down and then writes a mark.
 *
 * usage: kvm-probe DEVICE
 *
 * Exit status 0: the guest wrote its mark. Exit status 1: it did not, and a line on standard error says how far it
 * came. Some hosts have /dev/kvm but emulate each instruction of a guest, or do not run it at all. There this program
 * does not end, and virt-handler (node/kvm.py) stops it after a few seconds. For that purpose the guest counts far. It
 * runs in protected mode, because KVM emulates real mode on old processors although these are usable. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/kvm.h>

#define MARK 0x5a
#define PORT 0x80	/* the port of power-on self-tests: one byte, not connected */
#define PAGE 0x1000	/* address of the guest's only page */
#define TSS 0xfffbd000	/* three pages that Intel's processors need below 4 GiB, outside of guest memory */

#ifndef COUNT
#define COUNT 100000000		/* 50 ms on a processor, minutes in an emulator */
#endif

static const unsigned char guest[] = {
	0xb9, COUNT & 0xff, COUNT >> 8 & 0xff, COUNT >> 16 & 0xff, COUNT >> 24 & 0xff,	/* mov ecx, COUNT */
	0x49,				/* dec ecx */
	0x75, 0xfd,			/* jnz to the dec */
	0xb0, MARK,			/* mov al, MARK */
	0xe6, PORT,			/* out PORT, al */
	0xf4,				/* hlt */
};

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

/* A processor in 32-bit protected mode, flat and without paging, at the guest's first byte. */
static int set_registers(int cpu)
{
	struct kvm_regs regs = { .rip = PAGE, .rflags = 0x2 };	/* bit 1 of the flags is always set */
	struct kvm_segment code = {
		.limit = 0xffffffff, .selector = 0x8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1,
	};
	struct kvm_segment data = code;
	struct kvm_sregs sregs;

	if (ioctl(cpu, KVM_GET_SREGS, &sregs) < 0)
		return failed("KVM_GET_SREGS");
	data.selector = 0x10;
	data.type = 3;
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 |= 1;		/* protection enable */
	if (ioctl(cpu, KVM_SET_SREGS, &sregs) < 0)
		return failed("KVM_SET_SREGS");
	if (ioctl(cpu, KVM_SET_REGS, &regs) < 0)
		return failed("KVM_SET_REGS");
	return 0;
}

static int run(int cpu, const struct kvm_run *state)
{
	while (ioctl(cpu, KVM_RUN, 0) < 0)
		if (errno != EINTR)
			return failed("KVM_RUN");
	if (state->exit_reason != KVM_EXIT_IO) {
		fprintf(stderr, "the guest ended with reason %u before its mark\n", state->exit_reason);
		return 1;
	}
	if (state->io.direction != KVM_EXIT_IO_OUT || state->io.port != PORT || state->io.size != 1
	    || ((const unsigned char *)state)[state->io.data_offset] != MARK) {
		fprintf(stderr, "the guest wrote something other than its mark, to port 0x%x\n", state->io.port);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct kvm_userspace_memory_region region = { .guest_phys_addr = PAGE, .memory_size = PAGE };
	struct kvm_run *state;
	unsigned char *memory;
	int kvm, machine, cpu, size;

	if (argc != 2) {
		fprintf(stderr, "usage: kvm-probe DEVICE\n");
		return 64;
	}
	kvm = open(argv[1], O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return failed(argv[1]);
	if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return failed("KVM_GET_API_VERSION");
	machine = ioctl(kvm, KVM_CREATE_VM, 0);
	if (machine < 0)
		return failed("KVM_CREATE_VM");
	if (ioctl(machine, KVM_SET_TSS_ADDR, TSS) < 0)
		return failed("KVM_SET_TSS_ADDR");
	memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return failed("mmap of the guest's page");
	memcpy(memory, guest, sizeof guest);
	region.userspace_addr = (unsigned long)memory;
	if (ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return failed("KVM_SET_USER_MEMORY_REGION");
	cpu = ioctl(machine, KVM_CREATE_VCPU, 0);
	if (cpu < 0)
		return failed("KVM_CREATE_VCPU");
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof *state)
		return failed("KVM_GET_VCPU_MMAP_SIZE");
	state = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
	if (state == MAP_FAILED)
		return failed("mmap of the processor's state");
	return set_registers(cpu) || run(cpu, state);
}
