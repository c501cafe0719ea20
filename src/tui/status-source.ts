import type { ReplicationStatusDocument } from '../admin/protocol.ts'

/** Where the status screen gets its figures from: the admin client satisfies it, and so does a test. */
export interface StatusSource {
  /** `GET /admin/replication/status`. Rejects when the site cannot be asked. */
  status(): Promise<ReplicationStatusDocument>
}
