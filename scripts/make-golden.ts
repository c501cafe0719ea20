/**
 * Makes the golden volume of the current format: `node scripts/make-golden.ts FOLDER`. Run once per
 * format and never again: the point of a golden volume is that an older program wrote it.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'
import { makeVersion } from '../src/store/model/version.ts'
import { TestStore } from '../test/store/open-store.ts'

const target = process.argv[2]
if (target === undefined) throw new Error('usage: node scripts/make-golden.ts FOLDER')

const store = await TestStore.open({ siteId: 'golden' })
const large = Buffer.alloc(300_000, 'golden volume, format 1. ')
await store.put('photos', 'small.txt', 'hello')
await store.put('photos', 'overwritten', 'first')
await store.put('photos', 'overwritten', 'second')
await store.put('photos', 'large', large)
await store.put('photos', 'deleted', 'gone')
await store.engine.deleteObject({ bucket: 'photos', key: 'deleted' })
await store.put('purged', 'before', 'gone')
await store.engine.purgeBucket('purged')
await store.put('purged', 'after', 'kept')
await store.engine.createBucket('empty')
const ledger = await store.engine.ledger('default')
const [first, second] = await ledger.take(2)
if (first === undefined || second === undefined) throw new Error('the feed has places')
await ledger.settle([{ place: first, result: 'replicated', remote: 'applied' }])
await ledger.bury(second, { reason: 'remote returned 400: golden', attempts: 3 })
const slot = { kind: 'object', bucket: 'photos', key: 'small.txt', versionId: 'null' } as const
const loser = { kind: 'delete', slot, version: makeVersion(1, 0, 'other'), context: [] } as const
await store.engine.apply([{ mutation: loser, body: { kind: 'none' } }], undefined)
await store.close()

for (const entry of await readdir(join(store.folder, 'volume'), {
  recursive: true,
  withFileTypes: true,
})) {
  if (!entry.isFile()) continue
  const path = join(entry.parentPath, entry.name)
  const copy = join(target, `${relative(join(store.folder, 'volume'), path)}.gz`)
  await mkdir(dirname(copy), { recursive: true })
  await writeFile(copy, gzipSync(await readFile(path), { level: 9 }))
}
await store.remove()
