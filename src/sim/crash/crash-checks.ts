/** Looks at everything that a site shows and keeps, and holds it against what clients were told. */
import type { EventQueue } from '../event-queue.ts'
import type { History } from '../history.ts'
import { ledgersIn, recount } from '../recount.ts'
import { readContents, type SiteContents, slotOf } from '../site-contents.ts'
import { demand } from '../violation.ts'
import type { CrashModel, SlotState } from './crash-model.ts'
import { type CrashSite, type Life, otherName, siteName } from './crash-site.ts'
import { readObject } from './read-object.ts'

export interface CheckParts {
  readonly site: CrashSite
  readonly queue: EventQueue
  readonly model: CrashModel
  readonly history: History
}

const placesAtOnce = 1000
const tidyMsMax = 60_000
const lookEveryMs = 200

/** After a recovery: what is there is decided. @throws Violation */
export async function checkRecovered(life: Life, parts: CheckParts): Promise<SiteContents> {
  const { site, model } = parts
  const contents = readContents(site.indexDisk.durable)
  recount(siteName, contents, life.volume.segments())
  checkSpace(life, site)
  checkLedger(life, contents, model)
  checkUploads(contents, model)
  await checkObjects(life, parts)
  await checkFeed(life, parts)
  return contents
}

/** The segments that the volume knows of are those on the disk, and take what it says. */
function checkSpace({ volume }: Life, { disk }: CrashSite): void {
  for (const { segment, bytes } of volume.segments()) {
    const size = disk.files.get(segment)?.size
    const say = (): string => `segment ${segment} takes ${size} bytes, not ${bytes}`
    // A trim that said that it had failed may have been done.
    demand(size !== undefined && size <= bytes, 'space', say)
  }
}

function checkLedger({ ledger }: Life, contents: SiteContents, model: CrashModel): void {
  for (const seq of model.settled) {
    const isGone = !contents.places.has(seq)
    demand(isGone || !ledger.isPending({ seq }), 'settled', () => `${seq} is to be sent again`)
  }
  for (const seq of model.buried) {
    const isGone = !contents.places.has(seq)
    const say = (): string => `the dead letter for ${seq} is gone`
    demand(isGone || ledger.deadLetter(seq) !== undefined, 'letters', say)
  }
  const stored = ledgersIn(contents).get(otherName)
  demand(stored !== undefined, 'ledger', () => `there is no ledger for ${otherName}`)
}

/** What was made durable of an upload is there while nothing has overtaken it. */
function checkUploads(contents: SiteContents, model: CrashModel): void {
  const open = [...model.uploads].filter(
    (upload) =>
      upload.durable > 0 && !upload.isDoubtful && model.changes(upload.name) === upload.changes,
  )
  const say = (): string => `${contents.uploads.length} uploads are there, of ${open.length}`
  demand(contents.uploads.length >= open.length, 'upload', say)
}

async function checkObjects({ engine }: Life, { model, history }: CheckParts): Promise<void> {
  const found = new Map<string, SlotState>()
  for (const name of model.names) {
    found.set(slotOf(name), await readObject(engine, name, history))
  }
  model.decide((name) => found.get(slotOf(name)))
  for (const bucket of model.buckets) {
    const exists = await engine.bucketExists(bucket)
    model.decideBucket(bucket, exists)
    if (!exists) continue
    const page = await engine.listObjects({
      ...{ bucket, prefix: '', delimiter: '', after: '' },
      limit: placesAtOnce,
    })
    const listed = page.objects.map(({ key }) => `${bucket}/${key}`).sort()
    const live = model.liveIn(bucket).map(({ slot }) => slot)
    const say = (): string => `${bucket} lists ${listed.join(' ')}, and has ${live.join(' ')}`
    demand(listed.join() === live.sort().join(), 'list', say)
  }
  const { peerThrough } = model
  const through = engine.peerMark('1'.repeat(32))?.through ?? 0
  demand(
    through >= peerThrough,
    'mark',
    () => `the mark is ${through}, ${peerThrough} was answered`,
  )
}

/** Every place of the feed says what is there: `recount` has looked whether none is missing. */
async function checkFeed({ engine }: Life, { history }: CheckParts): Promise<void> {
  const { feed } = engine
  for (let after = 0; ; ) {
    const places = await feed.readPlaces(after, placesAtOnce)
    for (const place of places) {
      const change = feed.loadChange(place)
      try {
        const isSame = change === undefined || change.mutation.version === place.version
        demand(isSame, 'feed', () => `place ${place.seq} is about ${change?.mutation.version}`)
        if (change?.object !== undefined) history.identify(change.object.info)
      } finally {
        change?.object?.close()
      }
    }
    const last = places.at(-1)
    if (last === undefined) return
    after = last.seq
  }
}

/** Sweeps end, and no sealed segment is kept that nothing lies in. `nudge` writes something. */
export async function checkTidy(
  life: Life,
  parts: CheckParts,
  nudge: () => Promise<void>,
): Promise<void> {
  const deadline = parts.queue.time + tidyMsMax
  for (;;) {
    const untidy = untidyIn(life, readContents(parts.site.indexDisk.durable))
    if (untidy === undefined) return
    demand(parts.queue.time < deadline, 'tidy', () => untidy)
    await nudge()
    await parts.queue.pause(lookEveryMs)
  }
}

function untidyIn({ volume }: Life, contents: SiteContents): string | undefined {
  const { buckets, segments, state } = contents
  for (const [bucket, { sweeping }] of buckets) {
    if (sweeping) return `the sweep of ${bucket} does not end`
  }
  const dead = volume.segments().filter((info) => {
    const counted = segments.get(info.segment)
    const isLive = counted?.generation === info.generation && counted.records > 0
    const isBehind =
      info.stream === 'bulk' || info.generation < (state?.checkpoint?.generation ?? 0)
    return info.state === 'sealed' && !isLive && isBehind
  })
  const names = dead.map(({ segment, generation, stream }) => `${stream} ${segment}.${generation}`)
  return names.length === 0 ? undefined : `empty segments are kept: ${names.join(', ')}`
}

/**
 * An index that was built anew says what the one before said, but for what lies in the index alone, and
 * where records lie, which the cleaner may have changed. Two things may come back that do no harm: a
 * tombstone under a floor, and an upload whose end is nowhere in the log any more.
 */
export function checkRebuilt(before: SiteContents, after: SiteContents): void {
  const isCovered = (slot: string, version: string): boolean =>
    version <= (after.buckets.get(slot.slice(0, slot.indexOf('/')))?.floor ?? '')
  const had = describe(before)
  const has = describe(after)
  for (const [key, text] of had) {
    demand(has.get(key) === text, 'rebuild', () => `${key} was ${text}, is ${has.get(key)}`)
  }
  for (const [slot, { version }] of after.tombstones) {
    if (isCovered(slot, version)) has.delete(`deleted ${slot}`)
  }
  for (const [key, text] of has) {
    demand(had.has(key), 'rebuild', () => `${key} was not there, is ${text}`)
  }
}

function describe({ live, tombstones }: SiteContents): Map<string, string> {
  const found = new Map<string, string>()
  for (const [slot, { seq, version, context, meta, body }] of live) {
    const size = body.kind === 'inline' ? 0 : body.blobs.length
    found.set(`live ${slot}`, JSON.stringify([seq, version, context, meta, size]))
  }
  for (const [slot, { seq, version, context }] of tombstones) {
    found.set(`deleted ${slot}`, JSON.stringify([seq, version, context]))
  }
  return found
}
