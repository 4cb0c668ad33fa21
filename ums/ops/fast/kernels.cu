// What layers and optimizers do on an NVIDIA GPU besides matrix products, a kernel each.
// The names of arrays and sizes are those of the Python functions that call them, in gpu.py.

struct alignas(16) Four {
    float a, b, c, d;
};
__device__ Four operator+(Four x, Four y) { return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d}; }
__device__ Four operator*(Four x, Four y) { return {x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d}; }

// ---------------------------------------------------------------- windows of images (conv.py, upsample.py)

// A (n, rows, OW, K, K, C): what the kernel sees at each place of output rows top... of x (n, H, W, C), 0 off
// the image. A word is some bytes of a pixel, and C the number of them.
template <typename Word>
__global__ void windows(const Word* x, Word* A, int n, int H, int W, int C, int top, int rows, int OW, int K,
                        int stride, int dilation, int above, int left) {
    int length = OW * K * K * C;
    for (int row = blockIdx.y; row < n * rows; row += gridDim.y) {
        int image = row / rows, first = (top + row % rows) * stride - above;
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < length; i += gridDim.x * blockDim.x) {
            int c = i % C, v = i / C % K, u = i / (C * K) % K, place = i / (C * K * K);
            int h = first + u * dilation, w = place * stride + v * dilation - left;
            bool inside = 0 <= h && h < H && 0 <= w && w < W;
            A[(size_t)row * length + i] = inside ? x[(((size_t)image * H + h) * W + w) * C + c] : Word{};
        }
    }
}

// The adjoint: y (n, H, W, C) is b (C,), if there is one, plus all that windows would have read from it; or, with
// more, y is added to instead.
template <typename Number>
__global__ void add_windows(const Number* A, const Number* b, Number* y, int n, int H, int W, int C, int top,
                            int rows, int OW, int K, int stride, int dilation, int above, int left, bool more) {
    int length = W * C;
    for (int row = blockIdx.y; row < n * H; row += gridDim.y) {
        int image = row / H, h = row % H + above;
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < length; i += gridDim.x * blockDim.x) {
            int c = i % C, w = i / C + left;
            size_t here = (size_t)row * length + i;
            Number sum = more ? y[here] : b ? b[c] : Number{};
            for (int u = 0; u < K; u++) {
                int from = h - u * dilation, line = from / stride - top;
                if (from < 0 || from % stride || line < 0 || line >= rows) continue;
                for (int v = 0; v < K; v++) {
                    int along = w - v * dilation, place = along / stride;
                    if (along < 0 || along % stride || place >= OW) continue;
                    size_t window = ((size_t)image * rows + line) * OW + place;
                    sum = sum + A[((window * K + u) * K + v) * C + c];
                }
            }
            y[here] = sum;
        }
    }
}

// ---------------------------------------------------------------- elementwise, four numbers at a time

template <typename Number>
__device__ Number above(Number x, Number where) { return where > 0 ? x : 0; }
__device__ Four above(Four x, Four where) {
    return {above(x.a, where.a), above(x.b, where.b), above(x.c, where.c), above(x.d, where.d)};
}
template <typename Number>
__device__ Number positive(Number x) { return x < 0 ? 0 : x; }  // and what is not a number stays so
__device__ Four positive(Four x) { return {positive(x.a), positive(x.b), positive(x.c), positive(x.d)}; }

// y (rows, length) = x a + z b + shift, where a, b and shift have C numbers; any of a, z and shift may be missing.
template <typename Number>
__global__ void affine(const Number* x, const Number* a, const Number* z, const Number* b, const Number* shift,
                       Number* y, int rows, int length, int C) {
    for (int row = blockIdx.y; row < rows; row += gridDim.y)
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < length; i += gridDim.x * blockDim.x) {
            size_t here = (size_t)row * length + i;
            int c = i % C;
            Number value = a ? x[here] * a[c] : x[here];
            if (z) value = value + z[here] * b[c];
            y[here] = shift ? value + shift[c] : value;
        }
}

template <typename Number>
__global__ void relu(const Number* x, Number* y, int rows, int length) {
    for (int row = blockIdx.y; row < rows; row += gridDim.y)
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < length; i += gridDim.x * blockDim.x)
            y[(size_t)row * length + i] = positive(x[(size_t)row * length + i]);
}

template <typename Number>
__global__ void relu_gradient(const Number* dy, const Number* y, Number* dx, int rows, int length) {
    for (int row = blockIdx.y; row < rows; row += gridDim.y)
        for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < length; i += gridDim.x * blockDim.x) {
            size_t here = (size_t)row * length + i;
            dx[here] = above(dy[here], y[here]);
        }
}

// ---------------------------------------------------------------- kernels folded for upsampling (upsample.py)

// Of the rows of a 3x3 kernel, those that row r of a square of the output sees in row s of a window; or columns.
__device__ int first(int r, int s) { return s ? 2 - r : 0; }
__device__ int last(int r, int s) { return s ? 2 : 1 - r; }

// V (s, t, c, r, q, o): the rows and columns of w (3, 3, C, O) that fall on the same place, added up.
template <typename Number>
__global__ void fold(const Number* w, Number* V, int C, int O) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < 16 * C * O; i += gridDim.x * blockDim.x) {
        int o = i % O, q = i / O % 2, r = i / (2 * O) % 2, c = i / (4 * O) % C;
        int t = i / (4 * O * C) % 2, s = i / (8 * O * C);
        Number sum = 0;
        for (int u = first(r, s); u <= last(r, s); u++)
            for (int v = first(q, t); v <= last(q, t); v++) sum += w[((u * 3 + v) * C + c) * O + o];
        V[i] = sum;
    }
}

// The adjoint: dw (3, 3, C, O).
template <typename Number>
__global__ void unfold(const Number* dV, Number* dw, int C, int O) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < 9 * C * O; i += gridDim.x * blockDim.x) {
        int o = i % O, c = i / O % C, v = i / (O * C) % 3, u = i / (3 * O * C);
        Number sum = 0;
        for (int r = 0; r < 2; r++)
            for (int s = 0; s < 2; s++)
                for (int q = 0; q < 2; q++)
                    for (int t = 0; t < 2; t++)
                        if (first(r, s) <= u && u <= last(r, s) && first(q, t) <= v && v <= last(q, t))
                            sum += dV[(((s * 2 + t) * C + c) * 4 + r * 2 + q) * O + o];
        dw[i] = sum;
    }
}

// ---------------------------------------------------------------- many small arrays at once (optimizers.py)

// n arrays, one for each blockIdx.y, from one place to another; the table has the places from, those to, and the sizes.
template <typename Number>
__global__ void copy_each(const long long* table, int n) {
    const Number* from = (const Number*)table[blockIdx.y];
    Number* to = (Number*)table[n + blockIdx.y];
    long long size = table[2 * n + blockIdx.y];
    for (long long i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x)
        to[i] = from[i];
}

// ---------------------------------------------------------------- sums over rows (rows.py, norm.py)

// Blocks of THREADS add up shares of the rows of x (M, C), up to THREADS channels side by side, and one warp adds up
// what the blocks found for a channel. A thread adds few numbers in their own type; the rest is added in double.
#define THREADS 256

// The mean of n numbers and the sum of squared deviations from it, put together as Chan, Golub and LeVeque do.
struct Moments {
    double n, mean, squares;
};
__device__ Moments operator+(Moments x, Moments y) {
    double n = x.n + y.n, gap = y.mean - x.mean;
    if (n == 0) return x;
    return {n, x.mean + gap * y.n / n, x.squares + y.squares + gap * gap * x.n * y.n / n};
}
__device__ Moments from_lane(Moments x, int lane) {
    return {__shfl_down_sync(~0u, x.n, lane), __shfl_down_sync(~0u, x.mean, lane),
            __shfl_down_sync(~0u, x.squares, lane)};
}

// A sum of dy, and one of dy (x - mean).
struct Sums {
    double dy, product;
};
__device__ Sums operator+(Sums x, Sums y) { return {x.dy + y.dy, x.product + y.product}; }
__device__ Sums from_lane(Sums x, int lane) {
    return {__shfl_down_sync(~0u, x.dy, lane), __shfl_down_sync(~0u, x.product, lane)};
}

// What the lines of a block have found, as one, in its first line.
template <typename Part>
__device__ void store(Part mine, Part* parts, int channel, int C, int width) {
    __shared__ Part found[THREADS];
    found[threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.x >= width) return;
    for (int line = 1; line < THREADS / width; line++) mine = mine + found[line * width + threadIdx.x];
    parts[(size_t)blockIdx.x * C + channel] = mine;
}

// What all blocks have found for this block's channel, in its first thread.
template <typename Part>
__device__ Part total(const Part* parts, int blocks, int C) {
    Part mine = {};
    for (int block = threadIdx.x; block < blocks; block += 32) mine = mine + parts[(size_t)block * C + blockIdx.x];
    for (int lane = 16; lane; lane /= 2) mine = mine + from_lane(mine, lane);
    return mine;
}

template <typename Number>
__global__ void moments(const Number* x, Moments* parts, int M, int C) {
    int width = min(C - THREADS * (int)blockIdx.y, THREADS), lines = THREADS / width, line = threadIdx.x / width;
    int channel = THREADS * blockIdx.y + threadIdx.x % width, top = blockIdx.x * lines + line;
    Moments mine = {};
    if (line < lines && top < M) {
        Number start = x[(size_t)top * C + channel], sum = 0, squares = 0;
        int n = (M - top + gridDim.x * lines - 1) / (gridDim.x * lines);
#pragma unroll 4
        for (int k = 0; k < n; k++) {
            Number gap = x[((size_t)top + (size_t)k * gridDim.x * lines) * C + channel] - start;
            sum += gap;
            squares += gap * gap;
        }
        double mean = (double)sum / n;
        mine = {(double)n, start + mean, max(squares - sum * mean, 0.0)};
    }
    store(mine, parts, channel, C, width);
}

// Of batch norm in training: the running statistics move, and out (4, C) is mean, rstd, scale and shift.
template <typename Number>
__global__ void statistics(const Moments* parts, int blocks, int C, const Number* gamma, const Number* beta,
                           Number* running_mean, Number* running_var, double share, double eps, Number* out) {
    Moments all = total(parts, blocks, C);
    if (threadIdx.x) return;
    int c = blockIdx.x;
    double variance = all.squares / all.n, rstd = 1 / sqrt(variance + eps), scale = gamma[c] * rstd;
    running_mean[c] += share * (all.mean - running_mean[c]);
    running_var[c] += share * (variance - running_var[c]);
    out[c] = all.mean;
    out[C + c] = rstd;
    out[2 * C + c] = scale;
    out[3 * C + c] = beta[c] - all.mean * scale;
}

template <typename Number>
__global__ void sums(const Number* dy, const Number* x, const Number* mean, Sums* parts, int M, int C) {
    int width = min(C - THREADS * (int)blockIdx.y, THREADS), lines = THREADS / width, line = threadIdx.x / width;
    int channel = THREADS * blockIdx.y + threadIdx.x % width;
    Number sum = 0, product = 0, centre = x ? mean[channel] : 0;
    if (line < lines) {
#pragma unroll 4
        for (int row = blockIdx.x * lines + line; row < M; row += gridDim.x * lines) {
            size_t here = (size_t)row * C + channel;
            sum += dy[here];
            if (x) product += dy[here] * (x[here] - centre);
        }
    }
    store(Sums{sum, product}, parts, channel, C, width);
}

template <typename Number>
__global__ void channel_sums(const Sums* parts, int blocks, int C, Number* out) {
    Sums all = total(parts, blocks, C);
    if (threadIdx.x == 0) out[blockIdx.x] = all.dy;
}

// Of batch norm's backward pass: out (5, C) is dgamma, dbeta, and dx = a dy + b x + shift in training.
template <typename Number>
__global__ void coefficients(const Sums* parts, int blocks, int C, double M, const Number* mean,
                             const Number* rstd, const Number* gamma, Number* out) {
    Sums all = total(parts, blocks, C);
    if (threadIdx.x) return;
    int c = blockIdx.x;
    double dgamma = all.product * rstd[c], a = gamma[c] * rstd[c], b = -a * rstd[c] * dgamma / M;
    out[c] = dgamma;
    out[C + c] = all.dy;
    out[2 * C + c] = a;
    out[3 * C + c] = b;
    out[4 * C + c] = -a * all.dy / M - b * mean[c];
}
