// Owns the commands that look: what they are called and what they take. What they do is actions/.
import { type Command, command } from '../command.ts';

export const OBSERVE_COMMANDS: readonly Command[] = [
  command({
    path: 'status',
    summary: 'How this node is: programs, store, limits, problems',
    run: async (session) => (await import('../actions/status.ts')).status(session),
  }),
  command({
    path: 'stats',
    summary: 'What was counted: packets by reason, service and backend',
    details: 'Without --watch: counts since the tables exist. With it: rates per second.',
    options: {
      watch: {
        type: 'optional',
        short: 'w',
        describe: 'Rates, again and again, every so many seconds; 1 unless given',
      },
    },
    examples: [
      ['stats --watch', 'the busiest on top, until Ctrl-C'],
      ['stats --watch 10 --json', 'a line of JSON every ten seconds'],
    ],
    run: async (session, given) => (await import('../actions/stats.ts')).stats(session, given),
  }),
  command({
    path: 'explain',
    summary: 'What the program does with a packet, step by step',
    details:
      'Asks the program itself, and counts nothing. The packet is a flow in words, a frame in hexadecimal, or comes ' +
      'from a capture file.',
    arguments: {
      flow: {
        many: true,
        describe:
          'tcp|udp SOURCE[:PORT] DESTINATION:PORT, SOURCE:PORT>DESTINATION:PORT/tcp, or icmp SOURCE DESTINATION; [IPv6]:PORT',
      },
    },
    options: {
      syn: { type: 'flag', describe: 'TCP: the packet that opens a connection' },
      length: { type: 'number', describe: 'Bytes of the IP packet' },
      frame: { type: 'text', describe: 'Hexadecimal, from the Ethernet header on' },
      pcap: { type: 'text', describe: 'A file of tcpdump or wireshark: pcap or pcapng', source: 'files' },
      packet: {
        type: 'number',
        describe: 'With --pcap: which packet of it, counted from 1',
        standard: '1',
      },
      interface: {
        type: 'text',
        describe: 'Where the packet arrives; the first one attached unless given',
        source: 'interfaces',
      },
    },
    examples: [
      ['explain tcp 192.0.2.7:4242 198.18.0.10:80', 'which backend has this connection?'],
      ["explain 'tcp [2001:db8::7]:4242 -> [2001:db8:1::10]:443' --syn", 'IPv6, with an arrow'],
      ['explain --pcap trace.pcap --packet 7', 'the seventh packet of a file'],
    ],
    run: async (session, given) => (await import('../actions/explain.ts')).explain(session, given),
  }),
  command({
    path: 'capture',
    summary: 'Packets as they leave the program, each with its reason',
    details:
      'Packets are shown, or written as pcapng with the reason as a comment. While a capture runs, forwarding costs ' +
      'more; nothing is lost when it starts or ends. It ends by itself after --seconds or --count.',
    options: {
      write: {
        type: 'text',
        short: 'w',
        describe: 'Write pcapng to this file; - is standard output',
        source: 'files',
      },
      reason: {
        type: 'text',
        many: true,
        describe: 'Only these reasons or verdicts, such as DROP or PASS_NO_SUCH_PORT',
        source: 'reasons',
      },
      client: { type: 'text', describe: 'Only this client address' },
      clientPort: { type: 'number', describe: 'Only this client port' },
      address: { type: 'text', describe: 'Only this service address' },
      port: { type: 'number', describe: 'Only this service port' },
      protocol: {
        type: 'text',
        choices: ['tcp', 'udp', 'icmp', 'icmp6'],
        describe: 'Only this protocol',
      },
      seconds: { type: 'number', describe: 'End after this time', standard: '60' },
      count: { type: 'number', short: 'c', describe: 'End after so many packets', standard: '10000' },
    },
    examples: [
      ['capture --reason DROP', 'what is dropped, and why'],
      ['capture -w - --client 192.0.2.7 | tcpdump -nr -', 'one client, in the words of tcpdump'],
      ['capture -w /tmp/web.pcapng --address 198.18.0.10 --port 80', 'for wireshark'],
    ],
    run: async (session, given) => (await import('../actions/capture.ts')).capture(session, given),
  }),
  command({
    path: 'events',
    summary: 'What happens on this node, as it happens',
    run: async (session) => (await import('../actions/events.ts')).events(session),
  }),
  command({
    path: 'doctor',
    summary: 'What this host, its kernel and its interfaces can and cannot do',
    details: 'Its exit code is 69 where it finds an error.',
    arguments: {
      interface: { describe: 'All that are configured, unless given', source: 'interfaces' },
    },
    run: async (session, given) => (await import('../actions/doctor.ts')).doctor(session, given),
  }),
  command({
    path: 'metrics',
    summary: 'The metrics of this node, as Prometheus reads them',
    run: async (session) => (await import('../actions/metrics.ts')).metrics(session),
  }),
];
