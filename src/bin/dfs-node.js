#!/usr/bin/env node
// Plain JavaScript without static imports, so that this file also runs on a Node that is too old and can say so.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `dfs-node needs Node.js 22.18 or newer, this is ${process.versions.node}: install a newer one from your system's packages, or run it with npx -p node@24 -p dfs-node dfs-node\n`
  )
  process.exit(1)
}
// The sources run as TypeScript and the package ships JavaScript. The folder tells which of the two this is.
const extension = /\/dist\/bin\/[^/]+$/.test(import.meta.url) ? 'js' : 'ts'
import('./heap.js')
  .then(() => import(`../daemon/main.${extension}`))
  .then(({ main }) => main(process.argv.slice(2)))
  .then(
    code => {
      process.exitCode = code
    },
    error => {
      process.stderr.write(`something went wrong: ${error.message}\n`)
      process.exitCode = 1
    }
  )
