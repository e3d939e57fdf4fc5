// Prints the shape, dtype and items of an array: node read.js URL [v2|v3]
import * as zarr from "zarrita";

const [url, version] = process.argv.slice(2);
const open = version === "v2" ? zarr.open.v2 : zarr.open.v3;
const array = await open(new zarr.FetchStore(url), { kind: "array" });
const { data, shape } = await zarr.get(array);
const items = Array.from(data, (item) => (typeof item === "bigint" ? Number(item) : item));
console.log(JSON.stringify({ shape, dtype: array.dtype, items, attributes: array.attrs }));
