/** `comio repl replay`: asks for it, and waits for its end if that is wanted. */
import type { AdminClient } from '../admin/client.ts'
import type { ReplayDocument, ReplayRequestDocument } from '../admin/protocol.ts'
import { describeReplay } from './describe-replay.ts'
import { waitForReplay } from './replay-progress.ts'
import { withStopSignal } from './stop-signals.ts'

interface ReplayFlags {
  readonly failed?: boolean | undefined
  readonly from?: number | undefined
  readonly since?: string | undefined
  readonly bucket?: string | undefined
  readonly prefix?: string | undefined
  readonly all?: boolean | undefined
  readonly remote?: string | undefined
  readonly 'dry-run'?: boolean | undefined
}

export function replayRequest(flags: ReplayFlags): ReplayRequestDocument {
  const { failed, from, since, bucket, prefix, all, remote } = flags
  return {
    ...(failed ? { failed } : {}),
    ...(from === undefined ? {} : { from }),
    ...(since === undefined ? {} : { since }),
    ...(bucket === undefined ? {} : { bucket }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(all ? { all } : {}),
    ...(remote === undefined ? {} : { remote }),
    dry_run: flags['dry-run'] ?? false,
  }
}

export async function runReplay(
  client: Pick<AdminClient, 'replay' | 'status'>,
  request: ReplayRequestDocument,
  { wait = false }: { readonly wait?: boolean | undefined },
): Promise<{ readonly answer: ReplayDocument; readonly text: string }> {
  // Looked at before: a remote may refuse again sooner than the first look after.
  const before = wait ? await client.status() : undefined
  const answer = await client.replay(request)
  const text = describeReplay(answer, { dryRun: request.dry_run ?? false, waited: wait })
  if (before === undefined || answer.count === 0) return { answer, text }
  const ended = await withStopSignal((signal) =>
    waitForReplay({
      client,
      replay: answer,
      before,
      remote: request.remote,
      stream: process.stderr,
      signal,
    }),
  )
  return { answer, text: `${text}; ${ended}` }
}
