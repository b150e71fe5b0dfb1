/** Tells the test that has started this script, by a line on its standard output. */
export const say = (event, fields = {}) => console.log(JSON.stringify({ event, ...fields }))
