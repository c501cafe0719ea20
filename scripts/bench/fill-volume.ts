/** Makes a volume with very many small objects, without a server: what a benchmark then starts one on. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { defaultIndexPath } from '../../src/device/open-device.ts'
import type { IncomingChange } from '../../src/store/model/object-store.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import { makeVersion } from '../../src/store/model/version.ts'
import { openBareStore } from './bare-store.ts'
import { progress } from './replication-report.ts'

/** The keys of a bucket lie in so many folders, evenly. */
export const foldersOfFill = 10
export const bucketOfFill = 'filled'

const atOnce = 2000

export function keyOfFill(number: number): string {
  return `folder-${number % foldersOfFill}/object-${number}`
}

/** As another site would have sent them, which is the fastest way in. */
export async function fillVolume(storage: string, objects: number, siteId?: string): Promise<void> {
  const index = defaultIndexPath(storage, 'directory') ?? join(storage, 'index')
  const { engine, close } = await openBareStore({ storage, index, format: { siteId } })
  try {
    for (let from = 0; from < objects; from += atOnce) {
      const count = Math.min(atOnce, objects - from)
      const outcomes = await engine.apply(
        Array.from({ length: count }, (_, at) => changeOf(from + at)),
        undefined,
      )
      const refused = outcomes.find(({ result }) => result !== 'applied')
      if (refused !== undefined) throw new Error(`an object was not taken: ${refused.result}`)
      if (from % 500_000 === 0) progress(`${from} of ${objects} objects written`)
    }
  } finally {
    await close()
  }
}

function changeOf(number: number): IncomingChange {
  const bytes = Buffer.from(`object ${number}`)
  return {
    mutation: {
      kind: 'put',
      slot: objectSlot(bucketOfFill, keyOfFill(number)),
      version: makeVersion(1_700_000_000_000 + number, 0, 'site-c'),
      context: [],
      meta: {
        size: bytes.length,
        etag: createHash('md5').update(bytes).digest('hex'),
        contentHash: {
          algorithm: 'sha256',
          digest: createHash('sha256').update(bytes).digest(),
        },
        lastModified: 1_700_000_000_000,
        headers: { 'content-type': 'text/plain' },
        userMetadata: {},
      },
    },
    body: { kind: 'inline', bytes },
  }
}
