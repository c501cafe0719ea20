import { AdminClient } from '../admin/client.ts'
import type { RemoteStatus } from '../admin/protocol.ts'
import { S3Client } from '../s3/client.ts'
import { DemoFolder } from './demo-folder.ts'
import { DemoFailedError } from './errors.ts'
import { Reaper } from './reaper.ts'
import { SiteProcess } from './site-process.ts'

/** Sites A and B as processes, with clients for both. Whatever happens, `end` leaves nothing behind. */
export class TwoSites {
  readonly folder: DemoFolder
  readonly a: SiteProcess
  readonly b: SiteProcess
  readonly #reaper: Reaper
  readonly #closers: (() => Promise<void>)[] = []

  private constructor(folder: DemoFolder, binPath: string) {
    this.folder = folder
    this.#reaper = Reaper.start(folder.path)
    const shared = { binPath, folder, reaper: this.#reaper }
    this.a = new SiteProcess({ ...shared, site: 'A' })
    this.b = new SiteProcess({ ...shared, site: 'B' })
  }

  /** Resolves when both listen. Their ports are written into their files, so that they can come back. */
  static async start(binPath: string, signal?: AbortSignal): Promise<TwoSites> {
    const folder = await DemoFolder.make()
    const sites = new TwoSites(folder, binPath)
    try {
      await folder.writeConfigB(0)
      await sites.b.start(signal)
      await folder.writeConfigB(sites.b.port)
      await folder.writeConfigA(0, sites.b.url)
      await sites.a.start(signal)
      await folder.writeConfigA(sites.a.port, sites.b.url)
      return sites
    } catch (error) {
      await sites.end()
      throw error
    }
  }

  s3Client(site: SiteProcess, connections: number): S3Client {
    const client = new S3Client({ url: site.url, token: this.folder.adminToken, connections })
    this.#closers.push(() => client.close())
    return client
  }

  adminClient(site: SiteProcess): AdminClient {
    const client = new AdminClient({ url: site.url, token: this.folder.adminToken })
    this.#closers.push(() => client.close())
    return client
  }

  /** Ends both processes at once and removes the folder. */
  async end(): Promise<void> {
    await this.#closeClients()
    await Promise.all([this.a.kill(), this.b.kill()])
    await this.folder.remove()
    await this.#reaper.dismiss()
  }

  /** Asks both processes to finish before the folder goes. */
  async stopGently(): Promise<void> {
    await this.#closeClients()
    await Promise.all([this.a.stop(), this.b.stop()])
  }

  /** Leaves both processes and the folder where they are. */
  async release(): Promise<void> {
    await this.#closeClients()
    await this.#reaper.dismiss()
    this.a.release()
    this.b.release()
  }

  async #closeClients(): Promise<void> {
    await Promise.all(this.#closers.splice(0).map((close) => close()))
  }
}

/** The figures of the only link that A has. */
export async function linkOf(admin: AdminClient): Promise<RemoteStatus> {
  const { remotes } = await admin.status()
  const [remote] = remotes
  if (remote === undefined) throw new DemoFailedError('A says that it has no remote')
  return remote
}
