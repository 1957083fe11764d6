/* find-disk SERIAL: the device file of the disk or CD-ROM drive with that serial number.
 *
 * Virtio disks tell theirs in /sys; all others are asked by SCSI's INQUIRY for page 0x80, as udev asks them: Linux itself
 * reads no such page of QEMU's CD-ROM drives. */
#include <dirent.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define SERIAL_PAGE 0x80
#define PAGE_HEADER 4
#define TIMEOUT_MS 5000

static int virtio_serial(const char *name, char *serial, size_t size)
{
	char path[300];
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/sys/block/%s/serial", name);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	n = read(fd, serial, size - 1);
	close(fd);
	serial[n > 0 ? n : 0] = 0;
	return 0;
}

static int scsi_serial(const char *device, char *serial, size_t size)
{
	unsigned char page[255] = { 0 }, sense[32];
	unsigned char inquiry[6] = { 0x12, 1, SERIAL_PAGE, 0, sizeof page, 0 };
	struct sg_io_hdr io = {
		.interface_id = 'S',
		.dxfer_direction = SG_DXFER_FROM_DEV,
		.cmdp = inquiry,
		.cmd_len = sizeof inquiry,
		.dxferp = page,
		.dxfer_len = sizeof page,
		.sbp = sense,
		.mx_sb_len = sizeof sense,
		.timeout = TIMEOUT_MS,
	};
	int fd = open(device, O_RDONLY | O_NONBLOCK), failed;

	if (fd < 0)
		return -1;
	failed = ioctl(fd, SG_IO, &io) || io.status || io.host_status || io.driver_status;
	close(fd);
	if (failed || page[1] != SERIAL_PAGE || page[3] >= size || page[3] > sizeof page - PAGE_HEADER)
		return -1;
	memcpy(serial, page + PAGE_HEADER, page[3]);
	serial[page[3]] = 0;
	return 0;
}

int main(int argc, char **argv)
{
	char device[300], serial[256];
	struct dirent *e;
	DIR *d = opendir("/sys/block");

	if (argc != 2 || !d) {
		fprintf(stderr, "usage: find-disk SERIAL\n");
		return 2;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(device, sizeof device, "/dev/%s", e->d_name);
		if (virtio_serial(e->d_name, serial, sizeof serial) && scsi_serial(device, serial, sizeof serial))
			continue;
		serial[strcspn(serial, " \n")] = 0;	/* pages are padded with blanks */
		if (!strcmp(serial, argv[1])) {
			puts(device);
			return 0;
		}
	}
	fprintf(stderr, "find-disk: no disk has the serial number %s\n", argv[1]);
	return 1;
}
