// Owns the load of `scripts/bench file`: one asynchronous NFSv3 client on one connection, with a number of calls in
// flight, on top of Debian's libnfs. It checks the bytes and the statuses that come back, because a server that is fast
// and wrong is not fast. It knows nothing of which server it talks to.
//
// client --address A --path /EXPORT [--port 2049] [--mount-port 2049] [--depth 16] [--seconds 3] CASE
//
//   null | getattr                       for --seconds
//   fill                                 makes --file of --bytes, for the cases that follow
//   read | write                         --block bytes at random places of --file, or one after the other (--sequential)
//   overwrite                            all of --file, in blocks, then COMMIT, again and again
//   create | remove                      --count files in --directory, which comes and goes with them
//   list                                 READDIRPLUS of all of --directory, which has --count entries
//
// Prints one line of JSON. `read` and `write` expect what `fill` wrote, and `write` spoils it. Writes are UNSTABLE, are
// committed at the end, and are read back and compared.
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "connection.h"

#define DEPTH_MAX       256
#define BLOCK_BYTES_MAX (1u << 20)
#define SAMPLES_MAX     (4u << 20)
#define WARM_UP         10 // of the seconds, one in so many, are not counted
#define LIST_BYTES      (1u << 20)
#define NS_PER_S        1000000000ull

static struct {
  const char *address, *path, *file, *directory;
  int port, mount_port, depth, sequential;
  double seconds;
  uint64_t bytes, count;
  uint32_t block;
} options = {.file = "bench.data",
             .directory = "bench.directory",
             .port = 2049,
             .mount_port = 2049,
             .depth = 16,
             .seconds = 3,
             .bytes = 64u << 20,
             .count = 10000,
             .block = 4096};

static struct rpc_context *rpc;
static struct handle root;

// --- what is in a block: words that tell where they belong, and which write they are from ---

static uint32_t *generations; // by block: of the last write that was answered
static uint8_t *busy; // by block

static uint64_t word_of(uint64_t offset, uint32_t generation) {
  uint64_t word = (offset + ((uint64_t)generation << 40) + 1) * 0x9e3779b97f4a7c15ull;
  return word ^ (word >> 29);
}

static void fill_block(char *bytes, uint64_t offset, uint32_t length, uint32_t generation) {
  for (uint32_t i = 0; i < length; i += 8) {
    uint64_t word = word_of(offset + i, generation);
    memcpy(bytes + i, &word, 8);
  }
}

static void check_block(const char *bytes, uint64_t offset, uint32_t length, uint32_t generation) {
  for (uint32_t i = 0; i < length; i += 8) {
    uint64_t word;
    memcpy(&word, bytes + i, 8);
    if (word != word_of(offset + i, generation))
      fail("other bytes at %llu than were written", (unsigned long long)(offset + i));
  }
}

// --- phases: calls of one kind, `depth` in flight ---

struct slot {
  uint64_t started_ns, index;
  char *block;
  char name[32];
  struct phase *phase;
};

struct phase {
  // Sends the next call for this slot, or says that there is none.
  int (*send)(struct phase *, struct slot *);
  // Judges the answer. Returns how many operations it was.
  uint64_t (*judge)(struct phase *, struct slot *, void *answer);
  struct handle target;
  uint64_t next, limit; // of `index`
  uint64_t count_from_ns, end_ns; // 0: until there is none
  uint64_t operations, bytes, last_ns;
  int flying, is_timed;
};

static uint32_t *samples;
static uint64_t sample_count;
static uint64_t random_state = 0x2545f4914f6cdd1dull;

static uint64_t draw(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return random_state * 0x2545f4914f6cdd1dull;
}

static void on_answer(struct rpc_context *context, int status, void *answer, void *private);

static void send_next(struct phase *phase, struct slot *slot) {
  if (phase->end_ns != 0 && now_ns() >= phase->end_ns)
    return;
  slot->phase = phase;
  if (!phase->send(phase, slot))
    return;
  slot->started_ns = now_ns();
  phase->flying++;
}

static void on_answer(struct rpc_context *context, int status, void *answer, void *private) {
  struct slot *slot = private;
  struct phase *phase = slot->phase;
  if (status != RPC_STATUS_SUCCESS)
    fail("a call failed: %s", rpc_get_error(context));
  uint64_t at = now_ns();
  uint64_t operations = phase->judge(phase, slot, answer);
  if (phase->is_timed && at >= phase->count_from_ns) {
    phase->operations += operations;
    phase->last_ns = at;
    if (sample_count < SAMPLES_MAX)
      samples[sample_count++] = (uint32_t)((at - slot->started_ns) / 10);
  }
  phase->flying--;
  send_next(phase, slot);
}

static struct slot slots[DEPTH_MAX];

static void run_phase(struct phase *phase) {
  for (int i = 0; i < options.depth; i++)
    send_next(phase, &slots[i]);
  while (phase->flying > 0)
    serve(rpc);
}

static void sent(int result) {
  if (result != 0)
    fail("a call cannot be sent: %s", rpc_get_error(rpc));
}

static int send_null(struct phase *phase, struct slot *slot) {
  (void)phase;
  sent(rpc_nfs3_null_async(rpc, on_answer, slot));
  return 1;
}

static uint64_t judge_null(struct phase *phase, struct slot *slot, void *answer) {
  (void)phase, (void)slot, (void)answer;
  return 1;
}

static int send_getattr(struct phase *phase, struct slot *slot) {
  struct GETATTR3args arguments = {.object = fh_of(&phase->target)};
  sent(rpc_nfs3_getattr_async(rpc, on_answer, &arguments, slot));
  return 1;
}

static uint64_t judge_getattr(struct phase *phase, struct slot *slot, void *answer) {
  struct GETATTR3res *result = answer;
  (void)phase, (void)slot;
  if (result->status != NFS3_OK || result->GETATTR3res_u.resok.obj_attributes.size != options.bytes)
    fail("GETATTR: status %d, or another size", result->status);
  return 1;
}

// A block that no call in flight is about: what it holds then is known.
static int choose_block(struct phase *phase, struct slot *slot) {
  uint64_t blocks = options.bytes / options.block;
  if (phase->limit != 0 && phase->next >= phase->limit)
    return 0;
  do
    slot->index = options.sequential || phase->limit != 0 ? phase->next++ % blocks : draw() % blocks;
  while (busy[slot->index]);
  busy[slot->index] = 1;
  return 1;
}

static int send_read(struct phase *phase, struct slot *slot) {
  if (!choose_block(phase, slot))
    return 0;
  struct READ3args arguments = {
      .file = fh_of(&phase->target), .offset = slot->index * options.block, .count = options.block};
  sent(rpc_nfs3_read_async(rpc, on_answer, &arguments, slot));
  return 1;
}

static uint64_t judge_read(struct phase *phase, struct slot *slot, void *answer) {
  struct READ3res *result = answer;
  struct READ3resok *ok = &result->READ3res_u.resok;
  if (result->status != NFS3_OK || ok->count != options.block || ok->data.data_len != options.block)
    fail("READ: status %d, %u bytes of %u", result->status, result->status ? 0 : ok->count, options.block);
  check_block(ok->data.data_val, slot->index * options.block, options.block, generations[slot->index]);
  busy[slot->index] = 0;
  if (phase->is_timed && now_ns() >= phase->count_from_ns)
    phase->bytes += ok->count;
  return 1;
}

static int send_write(struct phase *phase, struct slot *slot) {
  if (!choose_block(phase, slot))
    return 0;
  uint64_t offset = slot->index * options.block;
  fill_block(slot->block, offset, options.block, generations[slot->index] + 1);
  struct WRITE3args arguments = {.file = fh_of(&phase->target),
                                 .offset = offset,
                                 .count = options.block,
                                 .stable = UNSTABLE,
                                 .data = {.data_len = options.block, .data_val = slot->block}};
  sent(rpc_nfs3_write_async(rpc, on_answer, &arguments, slot));
  return 1;
}

static uint64_t judge_write(struct phase *phase, struct slot *slot, void *answer) {
  struct WRITE3res *result = answer;
  struct WRITE3resok *ok = &result->WRITE3res_u.resok;
  if (result->status != NFS3_OK || ok->count != options.block)
    fail("WRITE: status %d, %u bytes of %u", result->status, result->status ? 0 : ok->count, options.block);
  check_verifier(ok->verf);
  generations[slot->index]++;
  busy[slot->index] = 0;
  if (phase->is_timed && now_ns() >= phase->count_from_ns)
    phase->bytes += ok->count;
  return 1;
}

static int choose_name(struct phase *phase, struct slot *slot) {
  if (phase->next >= phase->limit)
    return 0;
  slot->index = phase->next++;
  snprintf(slot->name, sizeof slot->name, "file%07llu", (unsigned long long)slot->index);
  return 1;
}

static int send_create(struct phase *phase, struct slot *slot) {
  if (!choose_name(phase, slot))
    return 0;
  struct CREATE3args arguments = {.where = {.dir = fh_of(&phase->target), .name = slot->name},
                                  .how = {.mode = GUARDED}};
  arguments.how.createhow3_u.g_obj_attributes.mode.set_it = 1;
  arguments.how.createhow3_u.g_obj_attributes.mode.set_mode3_u.mode = 0644;
  sent(rpc_nfs3_create_async(rpc, on_answer, &arguments, slot));
  return 1;
}

static uint64_t judge_create(struct phase *phase, struct slot *slot, void *answer) {
  struct CREATE3res *result = answer;
  (void)phase;
  if (result->status != NFS3_OK)
    fail("CREATE of %s: status %d", slot->name, result->status);
  return 1;
}

static int send_remove(struct phase *phase, struct slot *slot) {
  if (!choose_name(phase, slot))
    return 0;
  struct REMOVE3args arguments = {.object = {.dir = fh_of(&phase->target), .name = slot->name}};
  sent(rpc_nfs3_remove_async(rpc, on_answer, &arguments, slot));
  return 1;
}

static uint64_t judge_remove(struct phase *phase, struct slot *slot, void *answer) {
  struct REMOVE3res *result = answer;
  (void)phase;
  if (result->status != NFS3_OK)
    fail("REMOVE of %s: status %d", slot->name, result->status);
  return 1;
}

// --- a large directory: one call after the other, because each needs the cookie of the one before ---

static struct {
  uint64_t cookie, entries, name_sum;
  char verifier[NFS3_COOKIEVERFSIZE];
  int is_done;
} listing;

static int send_list(struct phase *phase, struct slot *slot) {
  if (listing.is_done || phase->flying > 0)
    return 0;
  struct READDIRPLUS3args arguments = {
      .dir = fh_of(&phase->target), .cookie = listing.cookie, .dircount = LIST_BYTES, .maxcount = LIST_BYTES};
  memcpy(arguments.cookieverf, listing.verifier, sizeof listing.verifier);
  sent(rpc_nfs3_readdirplus_async(rpc, on_answer, &arguments, slot));
  return 1;
}

static uint64_t hash_of(const char *name) {
  uint64_t sum = 0xcbf29ce484222325ull;
  for (; *name; name++)
    sum = (sum ^ (uint8_t)*name) * 0x100000001b3ull;
  return sum;
}

static uint64_t judge_list(struct phase *phase, struct slot *slot, void *answer) {
  struct READDIRPLUS3res *result = answer;
  struct READDIRPLUS3resok *ok = &result->READDIRPLUS3res_u.resok;
  uint64_t before = listing.entries;
  (void)phase, (void)slot;
  if (result->status != NFS3_OK)
    fail("READDIRPLUS: status %d", result->status);
  for (entryplus3 *entry = ok->reply.entries; entry != NULL; entry = entry->nextentry) {
    listing.cookie = entry->cookie;
    if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
      continue;
    listing.entries++;
    listing.name_sum += hash_of(entry->name);
  }
  memcpy(listing.verifier, ok->cookieverf, sizeof listing.verifier);
  if (ok->reply.entries == NULL && !ok->reply.eof)
    fail("READDIRPLUS: neither an entry nor the end");
  listing.is_done = ok->reply.eof != 0;
  return listing.entries - before;
}

// Every name once: the sum of their hashes is that of the names that were made.
static void check_listing(void) {
  uint64_t sum = 0;
  char name[32];
  for (uint64_t i = 0; i < options.count; i++) {
    snprintf(name, sizeof name, "file%07llu", (unsigned long long)i);
    sum += hash_of(name);
  }
  if (listing.entries != options.count || listing.name_sum != sum)
    fail("%llu entries were listed, not these %llu", (unsigned long long)listing.entries,
         (unsigned long long)options.count);
}

// --- cases ---

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double percentile_us(double share) {
  if (sample_count == 0)
    return 0;
  uint64_t index = (uint64_t)(share * (double)(sample_count - 1));
  return samples[index] / 100.0;
}

static void report(const char *name, struct phase *phase, uint64_t from_ns) {
  double seconds = (double)(phase->last_ns - from_ns) / (double)NS_PER_S;
  qsort(samples, sample_count, sizeof *samples, ascending);
  printf("{\"case\":\"%s\",\"depth\":%d,\"operations\":%llu,\"seconds\":%.6f,\"opsPerSecond\":%.1f,"
         "\"bytesPerSecond\":%.0f,\"p50Us\":%.2f,\"p90Us\":%.2f,\"p99Us\":%.2f,\"p999Us\":%.2f,\"maxUs\":%."
         "2f}\n",
         name, options.depth, (unsigned long long)phase->operations, seconds,
         (double)phase->operations / seconds, (double)phase->bytes / seconds, percentile_us(0.5),
         percentile_us(0.9), percentile_us(0.99), percentile_us(0.999), percentile_us(1));
}

static void verify_all(struct handle file) {
  struct phase phase = {
      .send = send_read, .judge = judge_read, .target = file, .limit = options.bytes / options.block};
  run_phase(&phase);
}

static void run_for_seconds(const char *name, struct phase phase) {
  uint64_t from = now_ns();
  phase.is_timed = 1;
  phase.count_from_ns = from + (uint64_t)(options.seconds / WARM_UP * (double)NS_PER_S);
  phase.end_ns = from + (uint64_t)(options.seconds * (double)NS_PER_S);
  run_phase(&phase);
  report(name, &phase, phase.count_from_ns);
}

static void run_to_the_end(const char *name, struct phase phase) {
  uint64_t from = now_ns();
  phase.is_timed = 1;
  phase.limit = options.count;
  run_phase(&phase);
  report(name, &phase, from);
}

// The time of COMMIT counts: it is when the data is safe.
static void overwrite(struct handle file) {
  uint64_t from = now_ns();
  struct phase all = {.send = send_write, .judge = judge_write, .target = file, .is_timed = 1};
  do {
    all.next = 0;
    all.limit = options.bytes / options.block;
    run_phase(&all);
    commit(rpc, &file);
    all.last_ns = now_ns();
  } while (all.last_ns < from + (uint64_t)(options.seconds * (double)NS_PER_S));
  report("overwrite", &all, from);
  verify_all(file);
}

static void fill_file(void) {
  create(rpc, &root, options.file);
  struct handle file = lookup(rpc, &root, options.file);
  uint64_t from = now_ns();
  struct phase all = {.send = send_write, .judge = judge_write, .target = file, .is_timed = 1};
  all.limit = options.bytes / options.block;
  run_phase(&all);
  commit(rpc, &file);
  report("fill", &all, from);
}

static void run_case(const char *name) {
  struct phase phase = {0};
  int is = 0;
#define IS(text) (is |= strcmp(name, text) == 0, strcmp(name, text) == 0)
  if (IS("null"))
    run_for_seconds(name, (struct phase){.send = send_null, .judge = judge_null});
  if (IS("getattr"))
    run_for_seconds(name, (struct phase){.send = send_getattr,
                                         .judge = judge_getattr,
                                         .target = lookup(rpc, &root, options.file)});
  if (IS("fill"))
    fill_file();
  if (IS("read"))
    run_for_seconds(
        name,
        (struct phase){.send = send_read, .judge = judge_read, .target = lookup(rpc, &root, options.file)});
  if (IS("write")) {
    phase =
        (struct phase){.send = send_write, .judge = judge_write, .target = lookup(rpc, &root, options.file)};
    run_for_seconds(name, phase);
    commit(rpc, &phase.target);
    verify_all(phase.target);
  }
  if (IS("overwrite"))
    overwrite(lookup(rpc, &root, options.file));
  if (IS("create")) {
    make_directory(rpc, &root, options.directory);
    phase = (struct phase){
        .send = send_create, .judge = judge_create, .target = lookup(rpc, &root, options.directory)};
    run_to_the_end(name, phase);
  }
  if (IS("remove")) {
    phase = (struct phase){
        .send = send_remove, .judge = judge_remove, .target = lookup(rpc, &root, options.directory)};
    run_to_the_end(name, phase);
    // It says whether all of them are gone.
    remove_directory(rpc, &root, options.directory);
  }
  if (IS("list")) {
    run_to_the_end(name, (struct phase){.send = send_list,
                                        .judge = judge_list,
                                        .target = lookup(rpc, &root, options.directory)});
    check_listing();
  }
  if (!is)
    fail("there is no case %s", name);
}

// What the file holds is known from the words alone: `fill` wrote generation 1, whatever came later wrote all of it.
static void prepare(const char *name) {
  uint64_t blocks = options.bytes / options.block;
  generations = calloc(blocks, sizeof *generations);
  busy = calloc(blocks, 1);
  samples = malloc(SAMPLES_MAX * sizeof *samples);
  if (generations == NULL || busy == NULL || samples == NULL)
    fail("no memory");
  for (uint64_t i = 0; strcmp(name, "fill") != 0 && i < blocks; i++)
    generations[i] = 1;
  for (int i = 0; i < options.depth; i++)
    if ((slots[i].block = malloc(options.block)) == NULL)
      fail("no memory");
}

static void take_option(int letter, const char *value) {
  uint64_t number = strtoull(value ? value : "0", NULL, 10);
  if (letter == 'a')
    options.address = value;
  if (letter == 'p')
    options.path = value;
  if (letter == 'n')
    options.port = (int)number;
  if (letter == 'm')
    options.mount_port = (int)number;
  if (letter == 'd')
    options.depth = (int)number;
  if (letter == 'f')
    options.file = value;
  if (letter == 'D')
    options.directory = value;
  if (letter == 's')
    options.seconds = atof(value);
  if (letter == 'b')
    options.bytes = number;
  if (letter == 'B')
    options.block = (uint32_t)number;
  if (letter == 'c')
    options.count = number;
  if (letter == 'q')
    options.sequential = 1;
  if (letter == '?')
    exit(2);
}

static void parse(int count, char **arguments) {
  static const struct option known[] = {
      {"address", 1, NULL, 'a'},    {"path", 1, NULL, 'p'},    {"port", 1, NULL, 'n'},
      {"mount-port", 1, NULL, 'm'}, {"depth", 1, NULL, 'd'},   {"file", 1, NULL, 'f'},
      {"directory", 1, NULL, 'D'},  {"seconds", 1, NULL, 's'}, {"bytes", 1, NULL, 'b'},
      {"block", 1, NULL, 'B'},      {"count", 1, NULL, 'c'},   {"sequential", 0, NULL, 'q'},
      {NULL, 0, NULL, 0},
  };
  int found;
  while ((found = getopt_long(count, arguments, "", known, NULL)) != -1)
    take_option(found, optarg);
  uint64_t blocks = options.block == 0 ? 0 : options.bytes / options.block;
  if (options.address == NULL || options.path == NULL || optind != count - 1 || options.depth < 1 ||
      options.depth > DEPTH_MAX || options.block > BLOCK_BYTES_MAX || options.block % 8 != 0 ||
      blocks <= (uint64_t)options.depth || options.bytes % options.block != 0)
    fail("it does not understand this");
}

int main(int count, char **arguments) {
  parse(count, arguments);
  prepare(arguments[optind]);
  root = mount_root(options.address, options.mount_port, options.path);
  rpc = connected(options.address, options.port);
  run_case(arguments[optind]);
  rpc_destroy_context(rpc);
  return 0;
}
