import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'

const ownerOnly = 0o600

/** Where both sites live: a temporary folder that nobody else may enter, with their tokens. */
export class DemoFolder {
  readonly path: string
  readonly adminToken = randomBytes(32).toString('hex')
  readonly replicationToken = randomBytes(32).toString('hex')

  private constructor(path: string) {
    this.path = path
  }

  static async make(): Promise<DemoFolder> {
    const folder = new DemoFolder(await mkdtemp(join(tmpdir(), 'comio-demo-')))
    await folder.#write(folder.adminTokenFile, `${folder.adminToken}\n`)
    await folder.#write(folder.curlHeaderFile, `Authorization: Bearer ${folder.adminToken}\n`)
    return folder
  }

  get adminTokenFile(): string {
    return join(this.path, 'admin.token')
  }

  /** For `curl -H @FILE`, so that the token shows in no list of processes. */
  get curlHeaderFile(): string {
    return join(this.path, 'curl.header')
  }

  configFile(site: SiteName): string {
    return join(this.path, `site-${site.toLowerCase()}.yaml`)
  }

  logFile(site: SiteName): string {
    return join(this.path, `site-${site.toLowerCase()}.log`)
  }

  /** Port 0 lets the system choose one. */
  async writeConfigA(port: number, remoteUrl: string): Promise<void> {
    await this.#writeConfig('A', port, {
      ...{ enabled: true, mode: 'async', remote_url: remoteUrl },
      remote_token: this.replicationToken,
    })
  }

  async writeConfigB(port: number): Promise<void> {
    await this.#writeConfig('B', port, { enabled: false, accept_tokens: [this.replicationToken] })
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }

  async #writeConfig(site: SiteName, port: number, replication: object): Promise<void> {
    const config = {
      server: {
        ...{ host: '127.0.0.1', port, site_id: `site-${site.toLowerCase()}` },
        storage_path: join(this.path, `site-${site.toLowerCase()}`),
      },
      auth: { tokens: [{ name: 'demo', role: 'admin', token: this.adminToken }] },
      replication,
      logging: { level: 'info', format: 'json' },
    }
    await this.#write(this.configFile(site), stringify(config))
  }

  async #write(path: string, text: string): Promise<void> {
    await writeFile(path, text, { mode: ownerOnly })
  }
}

export type SiteName = 'A' | 'B'
