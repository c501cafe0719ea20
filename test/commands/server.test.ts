import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { runComio, runHere, withFolder } from '../cli/run-comio.ts'

const program = fileURLToPath(new URL('../cli/comio-from-source.ts', import.meta.url))

/** Starts a site in `cwd`, calls `use` once it listens, and asks it to stop; gives its exit code. */
async function withServer(
  cwd: string,
  use: (url: string) => Promise<void>,
): Promise<number | null> {
  const child = spawn(process.execPath, [program, 'server', '--port', '0'], {
    cwd,
    env: { PATH: process.env.PATH ?? '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close') as Promise<[number | null]>
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const record = JSON.parse(line)
      if (record.msg === 'listening') {
        await use(record.url)
        break
      }
    }
  } finally {
    child.stdout.resume()
    child.kill('SIGTERM')
  }
  const [code] = await closed
  return code
}

test('a site starts, answers the commands that ask it, keeps others out and stops with 0', async () => {
  await withFolder(async (cwd) => {
    const code = await withServer(cwd, async (url) => {
      const status = await runHere(['repl', 'status', '--url', url])
      expect(status.stderr).toBe('')
      expect(status.stdout).toContain('replication is off')
      const failed = await runHere(['repl', 'failed', 'list', '--url', url])
      expect(failed).toEqual({ code: 0, stdout: 'no change has failed\n', stderr: '' })
      const held = await runComio(['server', '--port', '0'], { cwd })
      expect(held.code).toBe(2)
      expect(held.stderr).toMatch(
        /^error: .* in use by process \d+\nhint: .*\ncode: {2}VOLUME_IN_USE\n$/,
      )
    })
    expect(code).toBe(0)
  })
})

test('a file with something else in it is refused by name', async () => {
  await withFolder(async (cwd) => {
    await writeFile(join(cwd, 'image'), 'x')
    const { code, stderr } = await runComio(['server', '--storage', 'image', '--port', '0'], {
      cwd,
    })
    expect(code).toBe(2)
    expect(stderr).toMatch(
      /^error: .*image is no ComIO volume: it has data .*\nhint: .*--force-format/,
    )
  })
})
