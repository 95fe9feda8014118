/* Loads the one XDP program of an object file, and runs it on a packet whenever a line comes in: test_run FILE PACKET,
 * the packet in hexadecimal. Prints its instructions first, then for each line, which says how often to run it, what it
 * returned and how many nanoseconds a run took. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	unsigned char packet[2048];
	char line[64];
	size_t size = 0;

	if (argc != 3)
		return 2;
	for (const char *at = argv[2]; at[0] && at[1] && size < sizeof packet; at += 2, size++)
		sscanf(at, "%2hhx", &packet[size]);

	struct bpf_object *object = bpf_object__open(argv[1]);
	struct bpf_program *program = object ? bpf_object__next_program(object, NULL) : NULL;

	if (!program)
		return 1;

	const unsigned char *code = (const unsigned char *)bpf_program__insns(program);

	for (size_t i = 0; i < bpf_program__insn_cnt(program) * sizeof(struct bpf_insn); i++)
		printf("%02x", code[i]);
	puts("");
	if (bpf_object__load(object))
		return 1;
	fflush(stdout);

	while (fgets(line, sizeof line, stdin)) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .data_size_in = size, .repeat = atoi(line));
		if (bpf_prog_test_run_opts(bpf_program__fd(program), &run))
			return 1;
		printf("%u %u\n", run.retval, run.duration);
		fflush(stdout);
	}
	bpf_object__close(object);
	return 0;
}
