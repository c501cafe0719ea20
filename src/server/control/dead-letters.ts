/** The care of dead letters, as the control plane offers it. */
import { NoSuchLetterError, NoSuchRemoteError } from '../../admin/errors.ts'
import type { LettersOrder } from '../../admin/ports.ts'
import type {
  CurrentObject,
  FailedChange,
  FailedDetail,
  FailedDetailsDocument,
  FailedDocument,
  LettersDocument,
} from '../../admin/protocol.ts'
import { isoTime } from '../../base/iso-time.ts'
import type { RemoteLook } from '../../replication/reads/remote-look.ts'
import type {
  DeadLetter,
  ObjectStore,
  PurgePreview,
  RemoteLedger,
} from '../../store/model/object-store.ts'
import { siteOf, timeOf } from '../../store/model/version.ts'
import { objectFacts, objectThere } from './object-there.ts'

/** The oldest of each remote; a longer list would be read by nobody. */
const deadLettersMax = 1000

export async function failedDocument(ledgers: readonly RemoteLedger[]): Promise<FailedDocument> {
  const failed: FailedChange[] = []
  for (const ledger of ledgers) {
    for (const letter of await ledger.deadLetters(deadLettersMax)) {
      failed.push(failedChange(ledger.remote, letter))
    }
  }
  return { failed }
}

/** @throws NoSuchLetterError, when no remote has one at this place */
export async function failedDetails(
  seq: number,
  ledgers: readonly RemoteLedger[],
  sides: {
    readonly store: Pick<ObjectStore, 'headObject'>
    readonly look: Pick<RemoteLook, 'at'>
  },
): Promise<FailedDetailsDocument> {
  const failed = ledgers.map(async (ledger): Promise<readonly FailedDetail[]> => {
    const letter = ledger.deadLetter(seq)
    if (letter === undefined) return []
    const { slot, version } = letter
    const there =
      slot.kind === 'object' ? objectThere(await sides.look.at(ledger.remote, slot)) : null
    return [
      {
        ...failedChange(ledger.remote, letter),
        about: slot.kind === 'floor' ? 'purge' : slot.kind,
        version,
        version_site: siteOf(version),
        version_time: isoTime(timeOf(version)),
        current: currentObject(letter, sides.store),
        there,
      },
    ]
  })
  const found = (await Promise.all(failed)).flat()
  if (found.length > 0) return { failed: found }
  throw new NoSuchLetterError(`no dead letter is kept for place ${seq}`, {
    hint: 'It may have been replayed, discarded or overtaken: comio repl failed list has those there are.',
  })
}

/** @throws NoSuchLetterError, when seqs are named and none of them is a dead letter */
export async function retryLetters(
  ledgers: readonly RemoteLedger[],
  { seqs }: LettersOrder,
): Promise<LettersDocument> {
  const scope = seqs === 'all' ? ({ from: 'failed' } as const) : { letters: seqs }
  return await onEach(ledgers, seqs, (ledger) => ledger.replay(scope, { dryRun: false }))
}

/** @throws NoSuchLetterError, when seqs are named and none of them is a dead letter */
export async function discardLetters(
  ledgers: readonly RemoteLedger[],
  { seqs }: LettersOrder,
): Promise<LettersDocument> {
  return await onEach(ledgers, seqs, (ledger) => ledger.discard(seqs))
}

/** Those that are meant: all, or the one of this name. @throws NoSuchRemoteError */
export function chosenLedgers(
  all: readonly RemoteLedger[],
  remote: string | undefined,
): readonly RemoteLedger[] {
  const chosen = remote === undefined ? all : all.filter((ledger) => ledger.remote === remote)
  if (chosen.length > 0) return chosen
  if (all.length === 0) {
    throw new NoSuchRemoteError('this site has never had a remote to replicate to', {
      hint: 'Name one with comio repl remote add NAME URL, or with replication.remotes.',
    })
  }
  throw new NoSuchRemoteError(`this site has no remote called ${remote}`, {
    hint: `It has ${all.map((ledger) => ledger.remote).join(', ')}.`,
  })
}

async function onEach(
  ledgers: readonly RemoteLedger[],
  seqs: LettersOrder['seqs'],
  work: (ledger: RemoteLedger) => Promise<PurgePreview>,
): Promise<LettersDocument> {
  let count = 0
  let bytes = 0
  for (const ledger of ledgers) {
    const done = await work(ledger)
    count += done.count
    bytes += done.bytes
  }
  if (count === 0 && seqs !== 'all') {
    throw new NoSuchLetterError('none of these places has a dead letter, so nothing was done', {
      hint: 'comio repl failed list shows those that there are.',
    })
  }
  return { count, bytes }
}

/** The letter is closed when a newer change takes its slot, so this is the version that was refused, or nothing. */
function currentObject(
  { slot }: DeadLetter,
  store: Pick<ObjectStore, 'headObject'>,
): CurrentObject | null {
  const info = slot.kind === 'object' ? store.headObject(slot) : undefined
  return info === undefined ? null : objectFacts(info)
}

function failedChange(remote: string, letter: DeadLetter): FailedChange {
  const { seq, slot, bytes, reason, attempts, time } = letter
  const key = slot.kind === 'object' ? slot.key : null
  return { remote, seq, bucket: slot.bucket, key, bytes, reason, attempts, time: isoTime(time) }
}
