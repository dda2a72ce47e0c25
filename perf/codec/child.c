/* SPDX-License-Identifier: MIT */
#include "perf/codec/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* All of `len` bytes. @return 1, 0 when there is none any more, -errno, -EPIPE in the middle */
static int read_all(int fd, void *out, size_t len)
{
    size_t had = 0;
    while (had < len) {
        ssize_t count = read(fd, (char *)out + had, len - had);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        if (count == 0)
            return had == 0 ? 0 : -EPIPE;
        had += (size_t)count;
    }
    return 1;
}

/* All of `len` bytes. @return 0 or -errno */
static int write_all(int fd, const void *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t count = write(fd, (const char *)bytes + done, len - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        done += (size_t)count;
    }
    return 0;
}

/* In the new process. The other ends of the pipes close by themselves at exec. */
_Noreturn static void child_exec(const char *path, const char *simd, int question_fd, int answer_fd)
{
    bool ready = dup2(question_fd, STDIN_FILENO) >= 0 && dup2(answer_fd, STDOUT_FILENO) >= 0 &&
                 (simd == NULL || setenv("WEIR_SIMD", simd, 1) == 0);
    if (ready)
        execl(path, path, "--serve", (char *)NULL);
    _exit(127); /* the parent finds its pipe closed */
}

int codec_child_open(struct codec_child *out, const char *path, const char *simd)
{
    int questions[2], answers[2];
    if (pipe2(questions, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(answers, O_CLOEXEC) < 0) {
        int err = -errno;
        close(questions[0]);
        close(questions[1]);
        return err;
    }
    signal(SIGPIPE, SIG_IGN); /* a child that ended is a result of write() */
    pid_t pid = fork();
    if (pid == 0)
        child_exec(path, simd, questions[0], answers[1]);
    int err = pid < 0 ? -errno : 0;
    close(questions[0]);
    close(answers[1]);
    if (err != 0) {
        close(questions[1]);
        close(answers[0]);
        return err;
    }
    *out = (struct codec_child){ .pid = pid, .question_fd = questions[1], .answer_fd = answers[0] };
    return 0;
}

int codec_child_close(struct codec_child *child)
{
    int status;
    pid_t pid;
    close(child->question_fd);
    close(child->answer_fd);
    do
        pid = waitpid(child->pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    *child = (struct codec_child){ .question_fd = -1, .answer_fd = -1 };
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}

int codec_child_ask(struct codec_child *child, const struct codec_question *question,
                    struct codec_answer *out)
{
    int err = write_all(child->question_fd, question, sizeof(*question));
    if (err != 0)
        return err;
    err = read_all(child->answer_fd, out, sizeof(*out));
    return err == 1 ? 0 : err == 0 ? -EPIPE : err;
}

/* A name the library does not know, or this CPU does not have, leaves it with its best. */
static bool simd_is_as_asked(const struct codec_peer *peer)
{
    const char *asked = getenv("WEIR_SIMD");
    if (asked == NULL || peer->simd == NULL || strcmp(asked, peer->simd) == 0)
        return true;
    fprintf(stderr, "codec-bench: asked for '%s', but %s uses '%s' here\n", asked, peer->name,
            peer->simd);
    return false;
}

int codec_child_serve(struct codec_peer *peer)
{
    if (!simd_is_as_asked(peer))
        return 1;
    for (;;) {
        struct codec_question question;
        struct codec_answer answer;
        int had = read_all(STDIN_FILENO, &question, sizeof(question));
        if (had <= 0)
            return had == 0 ? 0 : 1;
        question.row[sizeof(question.row) - 1] = '\0';
        codec_cell_answer(peer, &question, &answer);
        if (write_all(STDOUT_FILENO, &answer, sizeof(answer)) != 0)
            return 1;
    }
}
