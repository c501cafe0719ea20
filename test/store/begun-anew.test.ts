/** What of remotes and of uploads is there again after the index was built anew, and what begins anew. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/random.ts'
import type { RemoteLedger } from '../../src/store/model/object-store.ts'
import { TestStore } from './open-store.ts'
import { putElsewhere } from './put-elsewhere.ts'

let store: TestStore
beforeEach(async () => {
  store = await TestStore.open()
})
afterEach(() => store.remove())

/** Shipped, but for the object `refused`, which is a dead letter. */
async function shipAll(): Promise<{ ledger: RemoteLedger; seq: number }> {
  const ledger = await store.engine.ledger('there')
  await store.put('box', 'refused', 'x')
  await store.put('box', 'other', 'y')
  let seq = 0
  for (const place of await ledger.take(10)) {
    const { slot } = place
    if (slot.kind === 'object' && slot.key === 'refused') {
      seq = place.seq
      await ledger.bury(place, { reason: 'not here', attempts: 3 })
    } else await ledger.settle([{ place, result: 'replicated', remote: 'applied' }])
  }
  return { ledger, seq }
}

/** The keys of objects that are to be sent. */
async function offered(): Promise<string[]> {
  const ledger = await store.engine.ledger('there')
  const places = await ledger.take(10)
  return places.flatMap(({ slot }) => (slot.kind === 'object' ? [slot.key] : []))
}

it('offers a change once more that was refused for good, like everything else', async () => {
  const { seq } = await shipAll()
  await store.loseIndex()
  const ledger = await store.engine.ledger('there')
  expect(ledger.deadLetter(seq)).toBeUndefined()
  expect(await offered()).toEqual(['refused', 'other'])
})

it('does not offer what somebody has discarded', async () => {
  const { ledger, seq } = await shipAll()
  await ledger.discard([seq])
  await store.loseIndex()
  expect(await offered()).toEqual(['other'])
})

it('begins an upload anew, which is whole in the end, and keeps nothing of what had come', async () => {
  const body = Buffer.from(seededRandom(5).bytes(200_000))
  const mutation = putElsewhere('large', body)
  const begun = await store.engine.stageUpload(mutation)
  await begun.append(body.subarray(0, 100_000))
  await begun.checkpoint()
  await begun.close()
  expect(await store.blobCount()).toBe(1)
  await store.loseIndex()
  expect(await store.blobCount()).toBe(0)
  const upload = await store.engine.stageUpload(mutation)
  expect(upload.heldBytes).toBe(0)
  await upload.append(body)
  const [outcome] = await store.engine.apply(
    [{ mutation, body: { kind: 'staged', upload } }],
    undefined,
  )
  expect(outcome?.result).toBe('applied')
  expect((await store.get('box', 'large'))?.equals(body)).toBe(true)
})
