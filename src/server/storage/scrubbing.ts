/**
 * The scrubber of a site, and where it keeps how far it is: a small file beside the superblock. Losing
 * that file, or finding it unreadable, costs reading everything once more and nothing else.
 */
import { z } from 'zod'
import { systemClock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import type { SmallFiles } from '../../device/small-files.ts'
import type { HealObject } from '../../store/scrub/scrub-pass.ts'
import { Scrubber, type ScrubMemory } from '../../store/scrub/scrubber.ts'
import type { Storage } from './storage.ts'

const scrubFile = 'scrub.json'

const whole = z.int().nonnegative()
const counts = {
  startedAt: whole,
  objects: whole,
  bytes: whole,
  records: whole,
  damaged: whole,
  healed: whole,
  gone: whole,
  listed: z
    .array(
      z.object({
        what: z.enum([
          ...['object', 'deletion', 'bucket', 'purge', 'remote'],
          ...['upload', 'letter', 'conflict', 'segment'],
        ] as const),
        bucket: z.string().optional(),
        key: z.string().optional(),
        result: z.enum(['healed', 'gone', 'damaged']),
        problem: z.string().optional(),
      }),
    )
    .max(200),
}
const place = z.object({ bucket: z.string(), key: z.string() })
const memorySchema = z.object({
  format: z.literal(1),
  since: whole,
  run: z.object({ ...counts, place: place.optional() }).optional(),
  last: z.object({ ...counts, finishedAt: whole, reason: z.string().optional() }).optional(),
})

export async function openScrubber(
  { storage }: ServerConfig,
  parts: Pick<Storage, 'engine' | 'files'> & {
    readonly heal: HealObject
    readonly logger: Logger
  },
): Promise<Scrubber> {
  const { engine: store, files, heal } = parts
  const logger = parts.logger.child({ component: 'scrub' })
  return new Scrubber({
    ...{ store, heal, logger },
    rate: storage.scrub.rate,
    intervalMs: storage.scrub.intervalMs,
    memory: await readMemory(files, logger),
    save: (memory) => files.replace(scrubFile, `${JSON.stringify({ format: 1, ...memory })}\n`),
    clock: systemClock,
  })
}

async function readMemory(files: SmallFiles, logger: Logger): Promise<ScrubMemory | undefined> {
  const text = await files.read(scrubFile)
  if (text === undefined) return undefined
  try {
    return memorySchema.parse(JSON.parse(text))
  } catch (error) {
    const facts = {
      path: files.where(scrubFile),
      error: error instanceof z.ZodError ? 'it is not what ComIO wrote' : messageOf(error),
    }
    logger.warn(facts, 'How far the scrub was cannot be read: it begins anew')
    return undefined
  }
}
