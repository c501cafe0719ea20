import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { runComio, withFolder } from '../cli/run-comio.ts'

const secret = 'PLANTED-5ecret'

async function inFolderWith<T>(file: string, use: (cwd: string) => Promise<T>): Promise<T> {
  return withFolder(async (cwd) => {
    await writeFile(join(cwd, 'config.yaml'), file)
    return use(cwd)
  })
}

describe.concurrent('config show', () => {
  test('prints the effective configuration, its sources and no secret', async ({ expect }) => {
    await inFolderWith(
      `server: {port: 1}\nreplication: {remote_token: ${secret}}\n`,
      async (cwd) => {
        const env = { COMIO_SERVER_SITE_ID: 'site-x', COMIO_REPLICATION_ACCEPT_TOKENS: secret }
        const { code, stdout, stderr } = await runComio(['config', 'show', '--host', '::1'], {
          cwd,
          env,
        })
        expect(code).toBe(0)
        expect(stdout).toMatch(/port: 1 +# config\.yaml:1/)
        expect(stdout).toMatch(/host: .*::1.* +# flag --host/)
        expect(stdout).toMatch(/site_id: site-x +# environment variable COMIO_SERVER_SITE_ID/)
        expect(parse(stdout).replication.remote_token).toBe('********')
        expect(stderr).toMatch(/warning: .*replication\.remote_token has 14 characters/)
        expect(stdout + stderr).not.toContain(secret)
      },
    )
  })

  test('--json holds values, sources and warnings, and no secret', async ({ expect }) => {
    const env = { COMIO_REPLICATION_REMOTE_TOKEN: secret }
    const { stdout, stderr } = await withFolder((cwd) =>
      runComio(['config', 'show', '--json', '--port', '0'], { cwd, env }),
    )
    const document = JSON.parse(stdout)
    expect(document.config.server.port).toBe(0)
    expect(document.config.replication.batch_bytes).toBe('8MiB')
    expect(document.sources['server.port']).toBe('flag --port')
    expect(document.warnings).toHaveLength(1)
    expect(stdout + stderr).not.toContain(secret)
  })
})

describe.concurrent('config validate', () => {
  test('says yes and exits 0, warnings aside', async ({ expect }) => {
    await inFolderWith('replication: {accept_tokens: [short]}\n', async (cwd) => {
      const { code, stdout, stderr } = await runComio(['config', 'validate'], { cwd })
      expect(code).toBe(0)
      expect(stdout).toBe('the configuration is valid\n')
      expect(stderr).toContain('config.yaml:1: replication.accept_tokens[0] has 5 characters')
    })
  })

  test('names every problem with its line and exits 2', async ({ expect }) => {
    await inFolderWith('server:\n  port: x\n  prot: 1\n', async (cwd) => {
      const { code, stdout, stderr } = await runComio(['config', 'validate'], { cwd })
      expect(code).toBe(2)
      expect(stdout).toBe('')
      expect(stderr).toContain('error: 2 problems in the configuration\n')
      expect(stderr).toContain('  config.yaml:2: server.port is "x"')
      expect(stderr).toContain('  config.yaml:3: server.prot is no known key; did you mean')
    })
  })

  test('opens the certificates and keys, and names each that is of no use', async ({ expect }) => {
    const file = 'server:\n  tls_cert: site.pem\n  tls_key: config.yaml\n'
    await inFolderWith(file, async (cwd) => {
      const { code, stderr } = await runComio(['config', 'validate'], { cwd })
      expect(code).toBe(2)
      expect(stderr).toMatch(/config\.yaml:2: server\.tls_cert is \S+, but there is no such file/)
      expect(stderr).toMatch(/config\.yaml:3: server\.tls_key is \S+, but there is no private key/)
    })
  })

  test('--json prints the verdict either way', async ({ expect }) => {
    await inFolderWith('server:\n  port: x\n', async (cwd) => {
      const bad = await runComio(['config', 'validate', '--json'], { cwd })
      expect(bad.code).toBe(2)
      expect(bad.stderr).toBe('')
      expect(JSON.parse(bad.stdout)).toMatchObject({
        valid: false,
        problems: [{ key: 'server.port', source: 'config.yaml:2' }],
      })
      const good = await runComio(['config', 'validate', '--json', '--port', '1'], { cwd })
      expect(good.code).toBe(0)
      expect(JSON.parse(good.stdout)).toEqual({ valid: true, problems: [], warnings: [] })
    })
  })
})

test('server refuses a wrong configuration in the same words', async () => {
  await inFolderWith('server:\n  host: 0.0.0.0\n', async (cwd) => {
    const { code, stdout, stderr } = await runComio(['server'], { cwd })
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain('config.yaml:2: server.host is "0.0.0.0", which others can reach')
  })
})
