import { ScrubRunningError } from '../../src/admin/errors.ts'
import type { ScrubControl } from '../../src/admin/ports.ts'
import type { ScrubDocument } from '../../src/admin/scrub-protocol.ts'

const counts = {
  started_at: '2025-12-03T20:59:59.000Z',
  ...{ objects: 7, bytes: 700, records: 3, damaged: 1, healed: 0, gone: 0 },
}

export const scrubDocument: ScrubDocument = {
  running: { ...counts, objects_total: 9, bytes_total: 900 },
  last: {
    ...counts,
    finished_at: '2025-12-03T21:00:00.000Z',
    reason: 'it was stopped',
    listed: [
      { what: 'object', bucket: 'docs', key: 'a', result: 'damaged', problem: 'nobody has it' },
    ],
  },
  next_at: '2026-01-02T21:00:00.000Z',
  rate: 16_777_216,
}

/** Answers with the example; one is running, so none can be begun once more. */
export function exampleScrub(): ScrubControl {
  let begun = 0
  return {
    current: async () => scrubDocument,
    begin() {
      if (begun++ > 0) throw new ScrubRunningError('one is running')
      return Promise.resolve(scrubDocument)
    },
    stop: async () => scrubDocument,
  }
}
