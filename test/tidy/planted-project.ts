import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type Check, type Project, readProject } from '../../scripts/tidy/project.ts'

/** Where the real project is. */
export const projectRoot = join(import.meta.dirname, '..', '..')

export type Files = Readonly<Record<string, string>>

/** Writes `files` (path to text) into a temporary folder and calls `use` with it. */
export function withFiles<T>(files: Files, use: (root: string) => T): T {
  const root = mkdtempSync(join(tmpdir(), 'comio-planted-'))
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text)
    }
    return use(root)
  } finally {
    rmSync(root, { recursive: true })
  }
}

/** The same, with this project's packages installed in it. */
export function withFilesAndPackages<T>(files: Files, use: (root: string) => T): T {
  return withFiles(files, (root) => {
    symlinkSync(join(projectRoot, 'node_modules'), join(root, 'node_modules'))
    return use(root)
  })
}

/** What `check` finds in `files`, as `path:line message`. */
export function found(check: Check, files: Files): string[] {
  return withFiles(files, (root) => describeAll(check, readProject(root)))
}

export function describeAll(check: Check, project: Project): string[] {
  return check(project).map(({ path, line, message }) => `${path}:${line} ${message}`)
}
