//! The documents that the tests validate against.

/// Takes any body of any media type and answers with any.
pub(crate) const ANYTHING: &str = r"
openapi: 3.1.0
info: {title: Anything, version: 1.0.0}
paths:
  /echo:
    post:
      requestBody:
        content: {'*/*': {}}
      responses:
        default:
          description: whatever was sent
          content: {'*/*': {}}
  /moved:
    get:
      responses:
        '302': {description: elsewhere}
";

/// A user with a name, an age and a password; `GET` declares content for every status.
pub(crate) const USERS: &str = r"
openapi: 3.0.3
info: {title: Users, version: 2.1.0}
paths:
  /users/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: integer}}
    get:
      responses:
        '200':
          description: the user
          content:
            application/json:
              schema: {$ref: '#/components/schemas/User'}
        '204':
          description: none is sent, although content is declared
          content:
            application/json:
              schema: {$ref: '#/components/schemas/User'}
        '304':
          description: unchanged, although content is declared
          content:
            application/json:
              schema: {$ref: '#/components/schemas/User'}
    head:
      responses:
        '200':
          description: the head of the user
          content:
            application/json:
              schema: {$ref: '#/components/schemas/User'}
  /users:
    post:
      parameters:
        - {name: dry_run, in: query, schema: {type: boolean}}
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: '#/components/schemas/User'}
      responses:
        '201':
          description: made
          content:
            application/json:
              schema: {$ref: '#/components/schemas/User'}
components:
  schemas:
    User:
      type: object
      required: [name, age]
      properties:
        name: {type: string}
        age: {type: integer, minimum: 0}
        password: {type: string, format: password}
        pin: {type: string, writeOnly: true}
";

/// Rules that an engine may find hard: lookahead, a pattern that is no pattern, an unknown
/// format, and a pattern with catastrophic backtracking.
pub(crate) const HARD_RULES: &str = r"
openapi: 3.1.0
info: {title: Hard rules, version: 1.0.0}
paths:
  /validate:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              properties:
                lookahead: {type: string, pattern: '^(?!-)[a-z-]+$'}
                broken: {type: string, pattern: '([a-z'}
                unknown: {type: string, format: galactic-coordinate}
                slow: {type: string, pattern: '^(a+)+$'}
                slower: {type: string, pattern: '^(a|a)*\1b'}
      responses:
        '200':
          description: fine
          content: {application/json: {schema: {type: object}}}
";

/// What FastAPI prints for one operation with a `Decimal`, lookahead pattern included.
pub(crate) const FASTAPI: &str = r##"{
 "openapi": "3.1.0",
 "info": {
  "title": "FastAPI",
  "version": "0.1.0"
 },
 "paths": {
  "/items/": {
   "post": {
    "summary": "Create Item",
    "operationId": "create_item_items__post",
    "requestBody": {
     "required": true,
     "content": {
      "application/json": {
       "schema": {
        "$ref": "#/components/schemas/Item"
       }
      }
     }
    },
    "responses": {
     "200": {
      "description": "Successful Response",
      "content": {
       "application/json": {
        "schema": {}
       }
      }
     },
     "422": {
      "description": "Validation Error",
      "content": {
       "application/json": {
        "schema": {
         "$ref": "#/components/schemas/HTTPValidationError"
        }
       }
      }
     }
    }
   }
  }
 },
 "components": {
  "schemas": {
   "Item": {
    "properties": {
     "name": {
      "type": "string",
      "title": "Name"
     },
     "price": {
      "anyOf": [
       {
        "type": "number"
       },
       {
        "type": "string",
        "pattern": "^(?!^[-+.]*$)[+-]?0*\\d*\\.?\\d*$"
       }
      ],
      "title": "Price"
     }
    },
    "type": "object",
    "required": [
     "name",
     "price"
    ],
    "title": "Item"
   },
   "HTTPValidationError": {
    "properties": {
     "detail": {
      "items": {
       "$ref": "#/components/schemas/ValidationError"
      },
      "type": "array",
      "title": "Detail"
     }
    },
    "type": "object",
    "title": "HTTPValidationError"
   },
   "ValidationError": {
    "properties": {
     "loc": {
      "items": {
       "anyOf": [
        {
         "type": "string"
        },
        {
         "type": "integer"
        }
       ]
      },
      "type": "array",
      "title": "Location"
     },
     "msg": {
      "type": "string",
      "title": "Message"
     },
     "type": {
      "type": "string",
      "title": "Error Type"
     }
    },
    "type": "object",
    "required": [
     "loc",
     "msg",
     "type"
    ],
    "title": "ValidationError"
   }
  }
 }
}"##;
