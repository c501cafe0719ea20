import type { TwoSites } from './two-sites.ts'

/** What to try with two sites that stay, and how to be rid of them. */
export function keptSitesText(sites: TwoSites, binPath: string): readonly string[] {
  const { a, b, folder } = sites
  const comio = `${quote(process.execPath)} ${quote(binPath)}`
  const header = `-H @${quote(folder.curlHeaderFile)}`
  const token = `--token-file ${quote(folder.adminTokenFile)}`
  return [
    'Both sites keep running.',
    `  site A  ${a.url}  process ${a.pid}  log ${folder.logFile('A')}`,
    `  site B  ${b.url}  process ${b.pid}  log ${folder.logFile('B')}`,
    `  token of both: ${folder.adminTokenFile}`,
    '',
    'Write at A, read at B:',
    `  curl ${header} -T ${quote(binPath)} ${a.url}/mybucket/myfile`,
    `  curl ${header} ${b.url}/mybucket/myfile`,
    'Watch A:',
    `  ${comio} repl status --watch --url ${a.url} ${token}`,
    'Kill B, write more at A, start B again:',
    `  kill -9 ${b.pid}`,
    `  ${comio} server --config ${quote(folder.configFile('B'))}`,
    'Stop both and remove everything:',
    `  kill ${a.pid} ${b.pid}; sleep 2; rm -rf ${quote(folder.path)}`,
    '',
  ]
}

/** For a POSIX shell; plain words stay as they are. */
export function quote(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
