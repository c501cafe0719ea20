/** Comparisons as the control plane sees them. */
import { NoSuchRemoteError, VerifyRunningError } from '../../admin/errors.ts'
import type { VerifyControl, VerifyOrder } from '../../admin/ports.ts'
import type {
  VerifyDifference,
  VerifyDocument,
  VerifyProgressDocument,
  VerifyResultDocument,
  VerifySummary,
} from '../../admin/verify-protocol.ts'
import type { Replicator } from '../../replication/replicator.ts'
import type { Difference } from '../../replication/verify/judge.ts'
import type { VerifyReport } from '../../replication/verify/verification.ts'
import type { VerifyRun } from '../../replication/verify/verifier.ts'

type Compared = Pick<Replicator, 'verifier' | 'verifiedRemotes'>

export function createVerifyControl(replicator: Compared): VerifyControl {
  const current = (): VerifyDocument => documentOf(replicator.verifier.run)
  return {
    current,
    begin: (order) => documentOf(begin(replicator, order)),
    async stop() {
      await replicator.verifier.cancel()
      return current()
    },
  }
}

const whereToCompare =
  'Run it at the site that ships to the other one, or resume a paused remote: comio repl remote list.'

function begin(replicator: Compared, { remote, order }: VerifyOrder): VerifyRun {
  const remotes = replicator.verifiedRemotes()
  const chosen = remotes.filter(({ name }) => remote === undefined || name === remote)
  if (chosen.length === 0) {
    const names = remotes.map(({ name }) => name).join(', ')
    throw new NoSuchRemoteError(
      remote === undefined
        ? 'this site ships to no remote now that it could be compared with'
        : `this site ships to no remote called ${remote}`,
      {
        hint: names === '' ? whereToCompare : `It ships to ${names}.`,
      },
    )
  }
  const run = replicator.verifier.begin(order, chosen)
  if (run !== undefined) return run
  throw new VerifyRunningError('a comparison is running, and there is one at a time', {
    hint: 'Wait until it is done, or stop it with comio repl verify --stop.',
  })
}

/** For the status of a remote. */
export function verifySummary(report: VerifyReport | undefined): VerifySummary | null {
  if (report === undefined) return null
  const { verdict, reason = null, upTo, finishedAt, differences, waiting } = report
  const checkedAt = new Date(finishedAt).toISOString()
  return { verdict, reason, up_to: upTo, checked_at: checkedAt, differences, waiting }
}

function documentOf(run: VerifyRun | undefined): VerifyDocument {
  if (run === undefined) return { id: 0, running: null, results: [] }
  const results = run.results.map(({ remote, report }) => resultOf(remote, report))
  return { id: run.id, running: progressOf(run.running), results }
}

function progressOf(running: VerifyRun['running']): VerifyProgressDocument | null {
  if (running === undefined) return null
  const { phase, compared, objectsRead, bytesRead, differences } = running.progress
  return {
    remote: running.remote,
    phase,
    compared,
    objects_read: objectsRead,
    bytes_read: bytesRead,
    differences,
  }
}

function resultOf(remote: string, report: VerifyReport): VerifyResultDocument {
  return {
    remote,
    ...(verifySummary(report) as VerifySummary),
    started_at: new Date(report.startedAt).toISOString(),
    compared: report.compared,
    objects_read: report.objectsRead,
    bytes_read: report.bytesRead,
    bytes_exchanged: report.bytesExchanged,
    repaired: report.repaired,
    repair_problem: report.repairProblem ?? null,
    kinds: Object.fromEntries(Object.entries(report.kinds)),
    listed: report.listed.map(differenceOf),
  }
}

function differenceOf({ kind, what, slot, here, there }: Difference): VerifyDifference {
  const key = slot.kind === 'object' ? slot.key : null
  return { kind, what, bucket: slot.bucket, key, here: here ?? null, there: there ?? null }
}
