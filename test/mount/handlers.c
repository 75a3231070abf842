/*
 * handlers PATH SIGNAL SOURCE [restart]: prints a file while a handled signal arrives again and again.
 *
 * SOURCE: "timer": an interval timer (SIGALRM); "child": another process; "thread": another thread signals the reading
 * one, as in runtimes that preempt their threads. With "restart" the handler is installed with SA_RESTART.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

static int signal_number;
static volatile sig_atomic_t handled;
static volatile pid_t reader;

static void handle(int number) { handled++; }

static void *pester(void *unused) {
  for (;;) {
    usleep(5000);
    syscall(SYS_tgkill, getpid(), reader, signal_number);
  }
}

int main(int argc, char **argv) {
  signal_number = atoi(argv[2]);
  struct sigaction action = {.sa_handler = handle, .sa_flags = argc > 4 ? SA_RESTART : 0};
  sigaction(signal_number, &action, 0);
  reader = syscall(SYS_gettid);
  pid_t child = 0;
  if (!strcmp(argv[3], "timer")) {
    struct itimerval often = {{0, 5000}, {0, 5000}};
    setitimer(ITIMER_REAL, &often, 0);
  } else if (!strcmp(argv[3], "child")) {
    pid_t parent = getpid();
    if ((child = fork()) == 0) {
      while (getppid() == parent && kill(parent, signal_number) == 0) usleep(5000);
      _exit(0);
    }
  } else {
    pthread_t thread;
    pthread_create(&thread, 0, pester, 0);
  }
  int fd = open(argv[1], O_RDONLY);
  if (fd < 0) {
    printf("open: %s\n", strerror(errno));
    return 1;
  }
  char buffer[4096];
  ssize_t length = read(fd, buffer, sizeof buffer);
  if (length < 0) {
    printf("read: %s\n", strerror(errno));
    return 1;
  }
  if (child > 0) kill(child, SIGKILL);
  if (handled == 0) {
    printf("no signal was handled\n");
    return 1;
  }
  fwrite(buffer, 1, length, stdout);
  return 0;
}
