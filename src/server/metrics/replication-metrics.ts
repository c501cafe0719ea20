/**
 * What replication counts since the start, as Prometheus text. The series of a remote are all there
 * from the beginning, so that a rate has something to start from.
 */
import type { ReplicationFigures } from '../../replication/replicator.ts'
import type { BoundedTally, ResultTally } from '../../replication/tally.ts'

type Labels = Readonly<Record<string, string>>

interface Family {
  readonly name: string
  readonly type: 'counter' | 'histogram'
  readonly help: string
  readonly samples: readonly string[]
}

type Link = ReplicationFigures['links'][number]

export function replicationText({ links, received }: ReplicationFigures): string {
  const families = [
    ...linkFamilies.map((family) => ofLinks(family, links)),
    ...ofReceived(received),
  ]
  return families.map(textOf).join('\n')
}

type LinkFamily = Omit<Family, 'samples'> & {
  readonly samplesOf: (name: string, link: Link, labels: Labels) => readonly string[]
}

const linkFamilies: readonly LinkFamily[] = [
  {
    name: 'comio_replication_events_total',
    type: 'counter',
    help: 'Answers of the remote to changes, by kind of change and result.',
    samplesOf: (name, { tally }, labels) =>
      resultSamples(name, tally.results, { labels, of: 'events' }),
  },
  {
    name: 'comio_replication_event_bytes_total',
    type: 'counter',
    help: 'Bytes of the objects of those changes.',
    samplesOf: (name, { tally }, labels) =>
      resultSamples(name, tally.results, { labels, of: 'bytes' }),
  },
  {
    name: 'comio_replication_batch_events',
    type: 'histogram',
    help: 'Changes in one request to the remote.',
    samplesOf: (name, { tally }, labels) => histogram(name, tally.batchEvents, labels),
  },
  {
    name: 'comio_replication_batch_duration_seconds',
    type: 'histogram',
    help: 'From sending a batch to its durable acknowledgement.',
    samplesOf: (name, { tally }, labels) => histogram(name, tally.batchSeconds, labels),
  },
  {
    name: 'comio_replication_retries_total',
    type: 'counter',
    help: 'Changes sent again after a failure, or because the remote wanted them later.',
    samplesOf: (name, { tally }, labels) => [sample(name, labels, tally.retries)],
  },
  {
    name: 'comio_replication_wire_bytes_total',
    type: 'counter',
    help: 'Bytes that the connections to the remote carried, framing and encryption included.',
    samplesOf: (name, { traffic }, labels) =>
      traffic === undefined
        ? []
        : [
            sample(name, { ...labels, direction: 'sent' }, traffic.sentBytes),
            sample(name, { ...labels, direction: 'received' }, traffic.receivedBytes),
          ],
  },
]

function ofLinks({ samplesOf, ...family }: LinkFamily, links: readonly Link[]): Family {
  const { name } = family
  const samples = links.flatMap((link) => samplesOf(name, link, { remote: link.name }))
  return { ...family, samples }
}

function ofReceived(received: ResultTally): readonly Family[] {
  const family = (name: string, help: string, of: 'events' | 'bytes'): Family => ({
    name,
    type: 'counter',
    help,
    samples: resultSamples(name, received, { labels: {}, of }),
  })
  return [
    family(
      'comio_replication_received_events_total',
      'Changes of other sites, by kind of change and what became of them here.',
      'events',
    ),
    family(
      'comio_replication_received_event_bytes_total',
      'Bytes of the objects of those changes.',
      'bytes',
    ),
  ]
}

function textOf({ name, type, help, samples }: Family): string {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples, ''].join('\n')
}

function resultSamples(
  name: string,
  tally: ResultTally,
  { labels, of }: { readonly labels: Labels; readonly of: 'events' | 'bytes' },
): readonly string[] {
  return tally
    .counts()
    .map((count) => sample(name, { ...labels, kind: count.kind, result: count.result }, count[of]))
}

function histogram(name: string, tally: BoundedTally, labels: Labels): readonly string[] {
  const counts = [...tally.counts()]
  let below = 0
  const buckets = [...tally.bounds.map(String), '+Inf'].map((le, at) => {
    below += counts[at] ?? 0
    return sample(`${name}_bucket`, { ...labels, le }, below)
  })
  return [
    ...buckets,
    sample(`${name}_sum`, labels, tally.sum),
    sample(`${name}_count`, labels, below),
  ]
}

function sample(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`)
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}
