import type { ObjectStore } from '../../src/store/object-store.ts'
import { memoryStore } from './memory-store.ts'

export async function openTestStore(): Promise<{ store: ObjectStore; close(): Promise<void> }> {
  return { store: memoryStore(), close: async () => undefined }
}
