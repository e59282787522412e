/* cut_power DIRECTORY...: from here on, what these mounted ext4 file systems have not yet put on stable storage is gone
 * (their shutdown ioctl, without a flush of the journal). All are opened first, so that the cuts come together. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define NO_LOG_FLUSH 2u

int main(int count, char **arguments) {
    int files[64];
    if (count > 64) return 2;
    for (int at = 1; at < count; at++) {
        files[at] = open(arguments[at], O_RDONLY);
        if (files[at] < 0) {
            perror(arguments[at]);
            return 1;
        }
    }
    for (int at = 1; at < count; at++) {
        uint32_t flag = NO_LOG_FLUSH;
        if (ioctl(files[at], EXT4_IOC_SHUTDOWN, &flag) < 0) {
            perror(arguments[at]);
            return 1;
        }
    }
    return 0;
}
