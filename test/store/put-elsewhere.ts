import { hash } from 'node:crypto'
import type { PutMutation } from '../../src/store/model/mutation.ts'
import { objectSlot } from '../../src/store/model/slot.ts'
import { makeVersion } from '../../src/store/model/version.ts'

/** A write of another site, to bucket `box`, that had seen nothing. */
export function putElsewhere(key: string, body: Buffer): PutMutation {
  return {
    kind: 'put',
    slot: objectSlot('box', key),
    version: makeVersion(1_700_000_000_000, 0, 'elsewhere'),
    context: [],
    meta: {
      size: body.length,
      etag: hash('md5', body, 'hex'),
      contentHash: { algorithm: 'sha256', digest: hash('sha256', body, 'buffer') },
      lastModified: 0,
      headers: {},
      userMetadata: {},
    },
  }
}
