/** Scrubbing as the control plane sees it. */
import { ScrubRunningError } from '../../admin/errors.ts'
import type { ScrubControl } from '../../admin/ports.ts'
import type { ScrubCountsDocument, ScrubDocument } from '../../admin/scrub-protocol.ts'
import type { PurgePreview } from '../../store/model/object-store.ts'
import type { Scrubber, ScrubReport, ScrubRun } from '../../store/scrub/scrubber.ts'

export function createScrubControl(
  scrubber: Scrubber,
  site: {
    readonly totals: () => Promise<PurgePreview>
    /** Bytes per second; 0 for no limit. */
    readonly rate: number
  },
): ScrubControl {
  const current = async (): Promise<ScrubDocument> => {
    const { count, bytes } = await site.totals()
    const { running, last, nextAt } = scrubber
    const totals = { objects_total: count, bytes_total: bytes }
    return {
      running: running === undefined ? null : { ...countsOf(running), ...totals },
      last: last === undefined ? null : resultOf(last),
      next_at: nextAt === undefined ? null : timeText(nextAt),
      rate: site.rate,
    }
  }
  return {
    current,
    begin() {
      if (scrubber.begin()) return current()
      throw new ScrubRunningError(
        'everything is being read already, and that is done once at a time',
        {
          hint: 'Wait until it is done, or stop it with comio volume scrub --stop.',
        },
      )
    },
    async stop() {
      await scrubber.cancel()
      return current()
    },
  }
}

/** What the health of a site says of it. Names no object: health is open to everybody. */
export function scrubReasons({ last }: Pick<Scrubber, 'last'>): readonly string[] {
  if (last === undefined) return []
  const left = last.damaged - last.healed - last.gone
  if (left === 0) return []
  return [
    `the scrub that ended at ${timeText(last.finishedAt)} left damage that it could not heal: see comio volume scrub --status`,
  ]
}

function resultOf(last: ScrubReport): NonNullable<ScrubDocument['last']> {
  return {
    ...countsOf(last),
    finished_at: timeText(last.finishedAt),
    reason: last.reason ?? null,
    listed: last.listed.map(({ what, bucket = null, key = null, result, problem = null }) => ({
      ...{ what, bucket, key, result, problem },
    })),
  }
}

function countsOf(run: ScrubRun | ScrubReport): ScrubCountsDocument {
  const { startedAt, objects, bytes, records, damaged, healed, gone } = run
  return { started_at: timeText(startedAt), objects, bytes, records, damaged, healed, gone }
}

function timeText(ms: number): string {
  return new Date(ms).toISOString()
}
