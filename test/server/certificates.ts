/** Certificates for tests, made by openssl where it is there. */
import { spawnSync } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const hasOpenssl = spawnSync('openssl', ['version']).status === 0
if (!hasOpenssl) process.stderr.write('TLS is not tried: openssl is not on this machine\n')

/** A folder with authorities and certificates in it: `NAME.pem` and `NAME.key`. */
export class Certificates {
  readonly folder: string

  private constructor(folder: string) {
    this.folder = folder
  }

  static async make(): Promise<Certificates> {
    return new Certificates(await mkdtemp(join(tmpdir(), 'comio-certificates-')))
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  text(name: string): Promise<string> {
    return readFile(this.path(name), 'utf8')
  }

  /** An authority of its own, or a certificate of `issuer` for this machine. */
  issue(name: string, options: { readonly issuer?: string; readonly days?: number } = {}): void {
    const { issuer, days = 30 } = options
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    const files = ['-keyout', this.path(`${name}.key`), '-out', this.path(`${name}.pem`)]
    const subject = ['-subj', `/CN=${name}`, '-days', String(days)]
    const by =
      issuer === undefined
        ? []
        : ['-CA', this.path(`${issuer}.pem`), '-CAkey', this.path(`${issuer}.key`)]
    const names =
      issuer === undefined
        ? []
        : [
            '-addext',
            'subjectAltName=DNS:localhost,IP:127.0.0.1',
            '-addext',
            'basicConstraints=CA:FALSE',
          ]
    const args = ['req', '-x509', ...curve, ...files, ...subject, ...by, ...names]
    const made = spawnSync('openssl', args, { encoding: 'utf8' })
    if (made.status !== 0) throw new Error(`openssl: ${made.stderr}`)
  }

  /** Puts one certificate and its key in the place of another. */
  async replace(name: string, by: string): Promise<void> {
    await copyFile(this.path(`${by}.key`), this.path(`${name}.key`))
    await copyFile(this.path(`${by}.pem`), this.path(`${name}.pem`))
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true })
  }
}
