/** Reads an object as a client does, and holds it against the put that it claims to be. */
import { createHash } from 'node:crypto'
import type { Engine } from '../../store/engine.ts'
import type { History } from '../history.ts'
import { type SlotName, slotOf } from '../site-contents.ts'
import { demand } from '../violation.ts'
import type { SlotState } from './crash-model.ts'

/** The put whose bytes are there. @throws Violation unless they are, to the last one */
export async function readObject(
  engine: Engine,
  name: SlotName,
  history: History,
): Promise<SlotState> {
  const object = engine.openObject(name)
  if (object === undefined) return undefined
  try {
    const pieces: Buffer[] = []
    for await (const piece of object.read()) pieces.push(piece)
    const bytes = Buffer.concat(pieces)
    history.compare(object.info, bytes)
    const { digest } = object.info.meta.contentHash
    const found = createHash('sha256').update(bytes).digest()
    demand(found.equals(digest), 'content', () => `${slotOf(name)} has another hash than its bytes`)
    return history.identify(object.info)
  } finally {
    object.close()
  }
}
