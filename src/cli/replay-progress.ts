/** Waits until what was replayed is acknowledged, with a bar on stderr that follows it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { RemoteStatus, ReplayDocument, ReplicationStatusDocument } from '../admin/protocol.ts'
import { countOf, formatCount } from '../base/format-count.ts'
import { CommandFailedError } from './errors.ts'

export interface ReplayWait {
  readonly client: { status(): Promise<ReplicationStatusDocument> }
  readonly replay: Pick<ReplayDocument, 'through'>
  /** How all was before the replay: what failed since is of interest. */
  readonly before: ReplicationStatusDocument
  /** Undefined for all. */
  readonly remote: string | undefined
  readonly stream: {
    readonly isTTY?: boolean
    readonly columns?: number
    write(text: string): unknown
  }
  readonly signal: AbortSignal
  readonly pollMs?: number
}

const pollMsDefault = 250
const lineEveryMs = 5000
const eraseLine = '\r\u001b[2K'

/**
 * @returns how the wait ended, in words
 * @throws CommandFailedError when it was broken off: the replay goes on
 */
export async function waitForReplay(wait: ReplayWait): Promise<string> {
  const { client, replay, signal, stream } = wait
  const starts = new Map<string, RemoteStatus>()
  let shownAt = Number.NEGATIVE_INFINITY
  try {
    for (;;) {
      const remotes = watchedOf(await client.status(), wait.remote)
      for (const remote of remotes) if (!starts.has(remote.name)) starts.set(remote.name, remote)
      if (remotes.every((remote) => isThrough(remote, replay.through))) {
        return verdictOf(remotes, wait.before)
      }
      const now = performance.now()
      if (stream.isTTY || now - shownAt >= lineEveryMs) {
        shownAt = now
        const line = formatReplayProgress({ remotes, starts, through: replay.through }, stream)
        stream.write(stream.isTTY ? `${eraseLine}${line}` : `${line}\n`)
      }
      await pause(wait.pollMs ?? pollMsDefault, signal)
    }
  } finally {
    if (stream.isTTY) stream.write(eraseLine)
  }
}

interface Progress {
  readonly remotes: readonly RemoteStatus[]
  /** Each as it was when the wait began. */
  readonly starts: ReadonlyMap<string, RemoteStatus>
  readonly through: number
}

/** `sending again [####....]  43% of the way to seq 99,000  12,000 waiting`, shorter than the terminal is wide. */
function formatReplayProgress(
  { remotes, starts, through }: Progress,
  { columns = 80 }: { readonly columns?: number },
): string {
  const shares = remotes.map(({ name, cursor }) => {
    const start = starts.get(name)?.cursor ?? 0
    return through <= start ? 1 : Math.min(1, Math.max(0, (cursor - start) / (through - start)))
  })
  const share = shares.length === 0 ? 1 : Math.min(...shares)
  const waiting = sumOf(remotes, ({ pending_events, replaying }) => pending_events + replaying)
  const away = remotes.find(({ state }) => stuckStates.has(state))
  const figures = [
    `${String(Math.floor(share * 100)).padStart(3)}% of the way to seq ${formatCount(through)}`,
    `${formatCount(waiting)} waiting`,
    ...(away === undefined ? [] : [away.state]),
  ].join('  ')
  const width = Math.max(0, Math.min(40, columns - figures.length - 20))
  const filled = Math.floor(width * share)
  const bar = width < 5 ? '' : `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] `
  return `sending again ${bar}${figures}`.slice(0, Math.max(1, columns - 1))
}

const stuckStates: ReadonlySet<string> = new Set([
  'disabled',
  'unreachable',
  'refused',
  'full',
  'failing',
])

/** What is held waits for somebody's decision, so nobody waits for that. */
function isThrough(remote: RemoteStatus, through: number): boolean {
  const { cursor, pending_events: pending, replaying, held_deletes: held } = remote
  return cursor >= through || (pending <= held && replaying === 0)
}

function watchedOf(
  { remotes }: ReplicationStatusDocument,
  name: string | undefined,
): readonly RemoteStatus[] {
  return name === undefined ? remotes : remotes.filter((remote) => remote.name === name)
}

function verdictOf(remotes: readonly RemoteStatus[], before: ReplicationStatusDocument): string {
  const failedBefore = new Map(before.remotes.map((remote) => [remote.name, remote.events_failed]))
  const failed = sumOf(
    remotes,
    ({ name, events_failed }) => events_failed - (failedBefore.get(name) ?? 0),
  )
  const held = sumOf(remotes, ({ held_deletes }) => held_deletes)
  const parts = [
    ...(failed <= 0
      ? []
      : [`${countOf(failed, 'change')} failed meanwhile: comio repl failed list`]),
    ...(held === 0
      ? []
      : [
          `${countOf(held, 'delete')} held, since a limit was reached: comio repl release, or discard`,
        ]),
  ]
  return parts.length === 0 ? 'all of it is acknowledged' : `done; ${parts.join('; ')}`
}

function sumOf(remotes: readonly RemoteStatus[], of: (remote: RemoteStatus) => number): number {
  return remotes.reduce((sum, remote) => sum + of(remote), 0)
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal })
  } catch (cause) {
    if (!signal.aborted) throw cause
    throw new CommandFailedError('stopped waiting; the replay goes on', {
      cause,
      hint: 'comio repl status shows how far it is.',
    })
  }
}
